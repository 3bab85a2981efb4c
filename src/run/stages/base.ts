// Stage: the student before the method begins. A Hugging Face directory is taken as it is; a llama2.c file is
// converted; a fresh model is initialised and, if asked for, reads some text first. It does NOT choose the
// text.
import { existsSync } from "node:fs";
import { extname, join } from "node:path";
import type { HuggingFaceConfig } from "../../checkpoint/model-config";
import { expectNoDropout, isAdapterDirectory, readAdapterConfig } from "../../checkpoint/peft";
import { noModel } from "../../checkpoint/where";
import type { RunConfig } from "../../config/run-options";
import { encodeSft, type Encoded, type EncodedSft } from "../../data/encode";
import { fail } from "../../errors";
import { hashJson } from "../../files";
import { expectStatesOfAdapters, Model } from "../../model";
import { loadTokenizer } from "../../text/convert";
import type { Tokenizer } from "../../text/tokenizer";
import { sft } from "../../train/sft";
import type { RunContext } from "../context";
import { effectiveTraining } from "../effective";
import type { RunEvent, StageEvent } from "../events";
import { modelKey, type ModelRef, weightsAt } from "../model-ref";
import { pathKey } from "../store";
import type { Document } from "./texts";
import { follow, MODEL_DIRECTORY, saveTrained, trainingControl } from "./train";

type Scratch = NonNullable<RunConfig["student"]["from_scratch"]>;

function configOf(scratch: Scratch, tokenizer: Tokenizer): HuggingFaceConfig {
  return {
    model_type: "llama",
    vocab_size: tokenizer.vocabSize,
    hidden_size: scratch.hidden_size,
    intermediate_size: scratch.intermediate_size,
    num_hidden_layers: scratch.num_hidden_layers,
    num_attention_heads: scratch.num_attention_heads,
    num_key_value_heads: scratch.num_key_value_heads,
    head_dim: scratch.head_dim || Math.floor(scratch.hidden_size / scratch.num_attention_heads),
    rms_norm_eps: scratch.rms_norm_eps,
    rope_theta: scratch.rope_theta,
    tie_word_embeddings: scratch.tie_word_embeddings,
    max_position_embeddings: scratch.max_position_embeddings,
    initializer_range: scratch.initializer_range,
  };
}

/** Documents cut into windows of at most `maxLength` tokens, each after its prompt (BOS, for plain text). */
function windows({ examples, ...rest }: Encoded<EncodedSft>, maxLength: number): Encoded<EncodedSft> {
  const cut = examples.flatMap((example) => {
    const room = Math.max(1, maxLength - example.promptIds.length);
    const count = Math.ceil(example.completionIds.length / room);
    return Array.from({ length: count }, (_, k) => ({
      ...example,
      completionIds: example.completionIds.slice(k * room, (k + 1) * room),
    }));
  });
  return { ...rest, examples: cut };
}

async function* pretrain(
  context: RunContext,
  model: Model,
  scratch: Scratch,
  documents: readonly Document[],
  work: string,
): AsyncGenerator<StageEvent, void> {
  if (scratch.pretrain === undefined)
    return saveTrained(model, work, { rows: 0, steps: 0, dropped: 0, truncated: 0 });
  const { data: _data, train_questions: _questions, ...options } = scratch.pretrain;
  const rows = windows(encodeSft(model.tokenizer, documents), model.longestRow(options.max_length));
  const events = sft(
    model,
    rows,
    { ...effectiveTraining(options), seed: context.seed("pretrain") },
    trainingControl(context.control, work),
  );
  const counts = yield* follow(events, "base", work, rows.examples.length);
  await saveTrained(model, work, counts);
}

export async function* freshStage(
  context: RunContext,
  tokenizerRef: ModelRef,
  documents: (tokenizer: Tokenizer) => readonly Document[],
): AsyncGenerator<RunEvent, ModelRef> {
  const scratch = context.config.student.from_scratch as Scratch;
  const tokenizer = await loadTokenizer(tokenizerRef.directory);
  const texts = scratch.pretrain ? documents(tokenizer) : [];
  const seed = context.seed("weights");
  const spec = {
    name: "base",
    options: {
      student: {
        ...scratch,
        tokenizer: null,
        pretrain: scratch.pretrain ? { ...scratch.pretrain, data: [] } : null,
      },
      seed,
      pretrain_seed: context.seed("pretrain"),
      model: context.trainingKey,
    },
    inputs: { tokenizer: tokenizerRef.key, texts: hashJson(texts) },
  };
  const result = yield* context.stage(spec, async function* (work) {
    const model = await Model.create(configOf(scratch, tokenizer), tokenizer, {
      ...context.modelOptions,
      seed,
    });
    try {
      yield {
        type: "note",
        stage: "base",
        message: `${model.parameterCount.toLocaleString("en-US")} parameters, ${model.description}`,
      };
      yield* pretrain(context, model, scratch, texts, work);
    } finally {
      model.dispose();
    }
  });
  return { key: result.key, directory: join(result.directory, MODEL_DIRECTORY), stage: result.directory };
}

/** To call for a student that is an adapter. @throws ERR_CONFIG, ERR_IO, ERR_UNSUPPORTED where it cannot be one */
async function expectAdapter(context: RunContext, path: string): Promise<void> {
  if (context.config.lora) {
    fail("ERR_CONFIG", `lora has no effect: student.path ${path} is an adapter, which is trained on as it is; leave it out`, {
      option: "lora",
    });
  }
  expectStatesOfAdapters(context.config.model);
  expectNoDropout((await readAdapterConfig(path)).dropout);
  await weightsAt(path, context.config.student.base_model);
}

/** What can be told of a student that exists before anything is made for it. @throws as the stage would */
export async function expectStudent(context: RunContext): Promise<void> {
  const { path, base_model: base } = context.config.student;
  if (path === undefined) return;
  if (await isAdapterDirectory(path)) return expectAdapter(context, path);
  if (base !== undefined) {
    fail("ERR_CONFIG", `student.base_model has no effect: student.path ${path} is no adapter; leave it out`, {
      option: "student.base_model",
    });
  }
  if (extname(path) !== ".bin" && !existsSync(join(path, "config.json"))) await noModel(path);
  if (context.config.dpo.reference === "base" && !context.config.lora) {
    fail("ERR_CONFIG", `dpo.reference base has no effect: student.path ${path} is no adapter, and there is no lora; leave `
      + "it out", { option: "dpo.reference" });
  }
}

/** A student that exists: its directory, or its llama2.c file as a directory. */
export async function* givenStage(context: RunContext): AsyncGenerator<RunEvent, ModelRef> {
  const { path = "", base_model: base, tokenizer } = context.config.student;
  if (extname(path) !== ".bin") {
    return { key: await modelKey(path, base), directory: path, ...(base === undefined ? {} : { base }) };
  }
  const inputs = {
    weights: await pathKey(path),
    ...(tokenizer === undefined ? {} : { tokenizer: await pathKey(tokenizer) }),
  };
  const result = yield* context.stage(
    { name: "base", options: { model: context.modelKey }, inputs },
    async function* (work) {
      const known = tokenizer === undefined ? {} : { tokenizer: await loadTokenizer(tokenizer) };
      const model = await Model.load(path, { ...context.modelOptions, ...known });
      try {
        yield {
          type: "note",
          stage: "base",
          message: `${path}: ${model.parameterCount.toLocaleString("en-US")} parameters`,
        };
        await model.save(join(work, MODEL_DIRECTORY), { replace: true });
      } finally {
        model.dispose();
      }
    },
  );
  return { key: result.key, directory: join(result.directory, MODEL_DIRECTORY), stage: result.directory };
}
