// The log of a training as JSON Lines, one optimizer step a line. Times are left out, so that an interrupted
// and resumed training leaves the same file as an uninterrupted one; a step that is done again replaces its
// old line. It does NOT know losses.
import { open, type FileHandle } from "node:fs/promises";
import { existsSync } from "node:fs";
import { readJsonl, writeJsonl, JsonlWriter } from "../data/jsonl";
import { ioError } from "../files";
import type { DpoStepEvent, SftStepEvent } from "../train/events";

type Step = SftStepEvent | DpoStepEvent;
export type LoggedStep = Omit<SftStepEvent, "type" | "seconds"> &
  Partial<Omit<DpoStepEvent, keyof SftStepEvent>>;

/** @throws ERR_IO, ERR_DATA */
export async function readTrainingLog(path: string): Promise<LoggedStep[]> {
  const steps: LoggedStep[] = [];
  for await (const { value } of readJsonl(path)) steps.push(value as LoggedStep);
  return steps;
}

export class TrainingLog {
  private handle: FileHandle | undefined;

  constructor(private readonly path: string) {}

  /**
   * Each line reaches the operating system at once: a checkpoint written later never knows more than the log.
   */
  async append(event: Step): Promise<void> {
    this.handle ??= await this.openAt(event.step);
    const { type: _type, seconds: _seconds, ...logged } = event;
    try {
      await this.handle.appendFile(`${JSON.stringify(logged)}\n`);
    } catch (error) {
      throw ioError(error, "append to", this.path);
    }
  }

  async close(): Promise<void> {
    await this.handle?.close();
    this.handle = undefined;
  }

  /** Lines from `step` on are of an attempt that was thrown away. */
  private async openAt(step: number): Promise<FileHandle> {
    if (existsSync(this.path)) {
      await (await JsonlWriter.open(this.path)).close(); // cuts a half-written last line off
      const earlier = await readTrainingLog(this.path);
      await writeJsonl(
        this.path,
        earlier.filter((line) => line.step < step),
      );
    }
    return open(this.path, "a").catch((error: unknown) => {
      throw ioError(error, "append to", this.path);
    });
  }
}
