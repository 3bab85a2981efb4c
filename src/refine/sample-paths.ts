// The student's own reasoning: completions of each question with the chain-of-thought trigger and without it, as
// records that say how they were drawn. It does NOT score them: see reward.ts.
import type { GenerationOptions } from "../config/options";
import type { SampledPath, SampleMode } from "../data/records";
import { sha256 } from "../files";
import type { Model } from "../model";
import { sample, type SampleControl, type SampleProgressEvent } from "../sample/sample";
import { renderPrompt, type TemplateName } from "../text/templates";

/** A question as it is put to the student. */
export interface Asked {
  id: string;
  task: string;
  instruction: string;
  input: string;
}

export interface SamplePathsOptions {
  template: TemplateName;
  /** Completions of each question prompted with the trigger, and without. */
  n_cot: number;
  n_direct: number;
  generation: Partial<Omit<GenerationOptions, "num_samples">>;
  /** Prompts that are not to be drawn (again); the others' samples are what they would be with these. */
  done?: (question: Asked, mode: SampleMode) => boolean;
}

export interface PathEvent {
  type: "path";
  path: SampledPath;
}

/** A prompt's number in the RNG key: a function of the question and mode, not of who else is asked. */
function promptKey(question: Asked, mode: SampleMode): number {
  return Number.parseInt(sha256(`${question.task}\n${question.id}\n${mode}`).slice(0, 8), 16) | 0;
}

/** Two prompts that hash alike get neighbouring keys, in the order of the whole list: whoever of it is drawn now. */
function uniqueKeys(questions: readonly Asked[], mode: SampleMode): { question: Asked; key: number }[] {
  const taken = new Set<number>();
  return questions.map((question) => {
    let key = promptKey(question, mode);
    while (taken.has(key)) key = (key + 1) | 0;
    taken.add(key);
    return { question, key };
  });
}

async function* sampleMode(
  model: Model, questions: readonly Asked[], mode: SampleMode, count: number, options: SamplePathsOptions,
  control: SampleControl,
): AsyncGenerator<PathEvent | SampleProgressEvent, void, undefined> {
  const rendering = { trigger: mode === "cot", tokenizer: model.tokenizer };
  const prompts = uniqueKeys(questions, mode)
    .filter(({ question }) => !options.done?.(question, mode))
    .map(({ question, key }) => ({ question, key, prompt: renderPrompt(options.template, question, rendering) }));
  for await (const event of sample(model, prompts, { ...options.generation, num_samples: count }, control)) {
    if (event.type === "progress") {
      yield event;
      continue;
    }
    const { question: { id, task, instruction, input }, prompt } = prompts[event.prompt]!;
    const path: SampledPath = {
      id, task, instruction, input, mode, prompt,
      sample: event.sample,
      completion: event.text,
      tokens: Array.from(event.tokens),
      finish_reason: event.finish_reason,
      logp: event.logps.reduce((sum, logp) => sum + logp, 0),
      answer: null,
      correct: null,
    };
    yield { type: "path", path };
  }
}

/**
 * Draws `n_cot` completions of each question with the trigger, then `n_direct` without.
 * @throws as `sample`
 */
export async function* samplePaths(
  model: Model, questions: readonly Asked[], options: SamplePathsOptions, control: SampleControl = {},
): AsyncGenerator<PathEvent | SampleProgressEvent, void, undefined> {
  if (options.n_cot > 0) yield* sampleMode(model, questions, "cot", options.n_cot, options, control);
  if (options.n_direct > 0) yield* sampleMode(model, questions, "direct", options.n_direct, options, control);
}
