// Training on files, for the verbs sft and dpo: rows with file and line, audit, progress, a work directory
// beside the output that an interrupted training is continued from. It does NOT know losses.
import { copyFile, readFile, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Options } from "yargs";
import type { Encoded, EncodedPair, EncodedSft, Named } from "../data/encode";
import type { Place } from "../data/formats";
import { streamRecords } from "../data/table";
import { fail } from "../errors";
import { ioError, makeDirectory, swapIn, syncTree } from "../files";
import type { Model } from "../model";
import { plural } from "../report/format";
import { stepDetail } from "./follow-run";
import type { StageEvent } from "../run/events";
import { audit, follow, saveTrained, trainingControl, MODEL_DIRECTORY } from "../run/stages/train";
import type { TrainingControl } from "../train/loop";
import type { DpoEvent, SftEvent } from "../train/events";
import { freeOutput, modelKeyOf, required, sayResumable, textFlag } from "./common";
import type { Context } from "./context";
import type { Flags } from "./verb";
import { inWork } from "./work-directory";

export const TRAIN_FILE_FLAGS: Readonly<Record<string, Options>> = {
  train: textFlag("records to train on (.jsonl, .json, .parquet, .csv, .tsv)", "Files:", {
    demandOption: true,
  }),
  output: textFlag("directory of the trained model", "Files:", { demandOption: true }),
  overwrite: { type: "boolean", group: "Files:", describe: "replace the output if it exists" },
  audit: textFlag("serious faults in the encoded rows", "Files:", {
    choices: ["error", "warn"],
    defaultDescription: "error",
  }),
  "checkpoint-seconds": textFlag("seconds of training between two checkpoints", "Files:", {
    defaultDescription: "60",
  }),
};

/** Records of a file, each with its place. @throws ERR_DATA naming file and line */
export async function readNamed<T>(
  path: string,
  parse: (value: unknown, place: Place) => T,
): Promise<Named<T>[]> {
  const rows: Named<T>[] = [];
  for await (const { value, line } of streamRecords(path)) {
    const name = `${path}:${line}`;
    rows.push({ record: parse(value, name), name });
  }
  return rows.length > 0 ? rows : fail("ERR_DATA", `${path}: no records`, { path });
}

/** Shows what a training yields. */
export function showStage(event: StageEvent, context: Context): void {
  context.emit(event);
  switch (event.type) {
    case "train_step":
      return context.terminal.progress({
        label: event.stage,
        finished: event.step.step,
        total: event.step.total_steps,
        unit: "steps",
        detail: stepDetail(event),
      });
    case "progress":
      return context.terminal.progress({ ...event, label: event.stage });
    case "note":
      return context.terminal.note(event.message);
    case "warning":
      return context.terminal.warn(event.message);
  }
}

export interface FileTraining<R extends EncodedSft | EncodedPair> {
  stage: string;
  encode: (model: Model) => Promise<Encoded<R>>;
  train: (
    model: Model,
    rows: Encoded<R>,
    control: TrainingControl,
  ) => AsyncGenerator<SftEvent | DpoEvent, void>;
}

/** The output appears when all of it is on disk; what stood there is replaced if that was asked for. */
async function publish(work: string, output: string): Promise<void> {
  try {
    await copyFile(join(work, "log.jsonl"), join(work, MODEL_DIRECTORY, "training-log.jsonl"));
    await syncTree(work);
    await makeDirectory(dirname(output));
    await swapIn(join(work, MODEL_DIRECTORY), output);
    await rm(work, { recursive: true, force: true });
  } catch (error) {
    throw ioError(error, "write", output);
  }
}

/**
 * Trains and saves. Interrupted, it goes on from `<output>.work` when called again with the same options and
 * data.
 */
export async function trainOnFiles<R extends EncodedSft | EncodedPair>(
  flags: Flags,
  context: Context,
  open: (flags: Flags, context: Context) => Promise<Model>,
  job: FileTraining<R>,
): Promise<void> {
  const output = await freeOutput(
    resolve(required(flags, "output", "where the model goes")),
    flags["overwrite"],
  );
  const seconds = Number(flags["checkpoint-seconds"] ?? 60);
  if (!(seconds >= 0))
    fail("ERR_CONFIG", "--checkpoint-seconds wants a number from 0", { option: "checkpoint-seconds" });
  const model = await open(flags, context);
  try {
    context.terminal.note(`${job.stage}: ${model.size}, ${model.description}`);
    await model.expectBaseStays(output);
    const rows = await job.encode(model);
    const identity = await modelKeyOf(flags);
    await inWork(output, identity, async (work) => {
      sayResumable(context);
      const policy = flags["audit"] === "warn" ? "warn" : "error";
      const control = trainingControl(
        { signal: context.signal, checkpoint_seconds: Math.max(seconds, 0.001) },
        work,
      );
      for await (const event of audit(policy, job.stage, work, model, rows.examples)) showStage(event, context);
      const events = follow(job.train(model, rows, control), job.stage, work, rows.examples.length);
      let next = await events.next();
      for (; !next.done; next = await events.next()) showStage(next.value, context);
      const counts = { ...next.value, dropped: rows.dropped.length, truncated: rows.truncated };
      context.terminal.finish();
      await saveTrained(model, work, counts, output);
      const last = (await readFile(join(work, "log.jsonl"), "utf8")).trimEnd().split("\n").at(-1) ?? "{}";
      await publish(work, output);
      const { loss } = JSON.parse(last) as { loss?: number };
      context.emit({ type: "finished", output, ...counts, loss });
      context.print(
        `${output}: ${plural(counts.rows, "row")}, ${plural(counts.steps, "step")}, last loss ${loss?.toFixed(4) ?? "n/a"}`,
      );
    });
  } finally {
    model.dispose();
  }
}
