// Stage: the student's reasoning paths on the train questions, with the trigger and without. Finished prompts
// are kept as they come, so that an interrupted stage goes on with the others; the file is put in order at
// the end. It does NOT judge paths.
import { join } from "node:path";
import { JsonlWriter, readJsonl, writeJsonl } from "../../data/jsonl";
import type { SampledPath, SampleMode } from "../../data/records";
import { makeDirectory } from "../../files";
import { Model } from "../../model";
import { type Asked, samplePaths, type SamplePathsOptions } from "../../refine/sample-paths";
import type { TemplateName } from "../../text/templates";
import type { RunContext } from "../context";
import { decisiveDecoding, effectiveDecoding } from "../effective";
import type { RunEvent, StageEvent } from "../events";
import { baseOf, type ModelRef } from "../model-ref";
import { scratchDirectory, type StageResult } from "../store";

export const SAMPLES_FILE = "samples.jsonl";
/** One line a prompt: all its samples, or none. */
const PARTIAL_FILE = "samples.partial.jsonl";
/** What a killed process loses at most. */
export const FLUSH_MS = 5000;

const MODES: readonly SampleMode[] = ["cot", "direct"];
const promptId = (mode: SampleMode, { task, id }: Pick<Asked, "task" | "id">): string =>
  `${mode} ${task} ${id}`;

/** Paths grouped by prompt; only prompts all of whose samples are there. */
class FinishedPaths {
  private readonly byPrompt = new Map<string, SampledPath[]>();
  private total = 0;

  constructor(private readonly wanted: Readonly<Record<SampleMode, number>>) {}

  /** @returns all samples of the prompt once the last of them is added */
  add(path: SampledPath): SampledPath[] | undefined {
    const id = promptId(path.mode, path);
    const paths = this.byPrompt.get(id) ?? [];
    paths.push(path);
    this.byPrompt.set(id, paths);
    this.total += 1;
    return paths.length === this.wanted[path.mode] ? paths : undefined;
  }

  has(mode: SampleMode, question: Asked): boolean {
    return this.byPrompt.get(promptId(mode, question))?.length === this.wanted[mode];
  }

  get count(): number {
    return this.total;
  }

  /** By mode, question and sample. */
  ordered(questions: readonly Asked[]): SampledPath[] {
    return MODES.flatMap((mode) =>
      questions.flatMap((question) =>
        [...(this.byPrompt.get(promptId(mode, question)) ?? [])].sort((a, b) => a.sample - b.sample),
      ),
    );
  }
}

/** What is drawn, and how. */
export interface Drawing {
  stage: string;
  questions: readonly Asked[];
  n_cot: number;
  n_direct: number;
  template: TemplateName;
  /** Decoding options with the seed. */
  generation: SamplePathsOptions["generation"];
  signal?: AbortSignal | undefined;
}

/** Draws all paths, in order; those of an interrupted attempt are found in `work`. */
export async function* drawPaths(
  model: Model,
  { stage, questions, n_cot, n_direct, template, generation, signal }: Drawing,
  work: string,
): AsyncGenerator<StageEvent, SampledPath[]> {
  const partial = join(scratchDirectory(work), PARTIAL_FILE);
  await makeDirectory(scratchDirectory(work));
  const writer = await JsonlWriter.open(partial); // cuts a half-written last line off
  const finished = new FinishedPaths({ cot: n_cot, direct: n_direct });
  let flushed = Date.now();
  try {
    for await (const { value } of readJsonl(partial))
      for (const path of value as SampledPath[]) finished.add(path);
    const total = questions.length * (n_cot + n_direct);
    const options: SamplePathsOptions = {
      template,
      n_cot,
      n_direct,
      generation,
      done: (question, mode) => finished.has(mode, question),
    };
    for await (const event of samplePaths(model, questions, options, signal ? { signal } : {})) {
      if (event.type === "progress") {
        yield { type: "progress", stage, finished: finished.count, total, unit: "samples" };
        continue;
      }
      const { tokens: _, ...path } = event.path;
      const all = finished.add(path);
      if (all) await writer.write(all);
      if (Date.now() - flushed > FLUSH_MS) {
        await writer.flush();
        flushed = Date.now();
      }
    }
  } finally {
    await writer.close();
  }
  return finished.ordered(questions);
}

export async function* sampleStage(
  context: RunContext,
  name: string,
  from: ModelRef,
  questions: readonly Asked[],
  questionsKey: string,
): AsyncGenerator<RunEvent, StageResult> {
  const seed = context.seed(name);
  const { n_cot, n_direct, ...decoding } = context.config.sample;
  const spec = {
    name,
    options: {
      sample: decisiveDecoding(context.config.sample),
      template: context.config.template,
      seed,
      model: context.modelKey,
    },
    inputs: { model: from.key, questions: questionsKey },
  };
  return yield* context.stage(spec, async function* (work) {
    const model = await Model.load(from.directory, { ...context.samplingModelOptions, ...baseOf(from) });
    try {
      const paths = yield* drawPaths(
        model,
        {
          stage: name,
          questions,
          n_cot,
          n_direct,
          template: context.config.template,
          generation: effectiveDecoding({ ...decoding, seed }),
          signal: context.control.signal,
        },
        work,
      );
      await writeJsonl(join(work, SAMPLES_FILE), paths);
    } finally {
      model.dispose();
    }
  });
}
