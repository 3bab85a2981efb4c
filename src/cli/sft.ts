// Verb: instruction-tuning on a file.
import { sftRules } from "../config/effects";
import { flagsOf, givenOptions } from "../config/flags";
import { sftOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { encodeSft } from "../data/encode";
import { isInstruction, parseSftRecord } from "../data/formats";
import { fail } from "../errors";
import { trainingWork } from "../plan/work";
import { sft } from "../train/sft";
import { openTrainedModel, required, TEMPLATE_FLAG, templateOf, TRAINED_MODEL_FLAGS } from "./common";
import { readNamed, TRAIN_FILE_FLAGS, trainOnFiles } from "./train-files";
import type { Verb } from "./verb";

export const sftVerb: Verb = {
  name: "sft",
  summary: "instruction-tune a model on a file of demonstrations",
  flags: {
    ...TRAINED_MODEL_FLAGS,
    ...TRAIN_FILE_FLAGS,
    ...TEMPLATE_FLAG,
    trigger: { type: "boolean", group: "Prompts:", describe: "the chain-of-thought trigger in the prompts" },
    ...flagsOf(sftOptions, "Training:"),
  },
  examples: [
    [
      "sft --model base --train demos.jsonl --output tuned",
      "records {prompt, completion}, {messages} or Alpaca's",
    ],
    [
      "sft --model base --train demos.jsonl --output tuned --learning-rate 1e-4 --num-train-epochs 2",
      "with options",
    ],
  ],
  run: async (flags, context) => {
    const given = givenOptions(sftOptions, flags);
    const options = parseOptions(sftOptions, given, "sft", sftRules);
    const rows = await readNamed(required(flags, "train", "a file of records"), parseSftRecord);
    const idle = ["template", "trigger"].find((name) => flags[name] !== undefined);
    if (idle !== undefined && !rows.some(({ record }) => isInstruction(record))) {
      fail("ERR_CONFIG", `--${idle} has no effect: no record has an instruction, each brings its own prompt; leave it out`, {
        option: idle,
      });
    }
    const work = trainingWork("sft", options);
    await trainOnFiles(flags, context, (...where) => openTrainedModel(...where, work), {
      stage: "sft",
      encode: (model) =>
        Promise.resolve(
          encodeSft(model.tokenizer, rows, {
            template: templateOf(flags),
            trigger: flags["trigger"] === true,
            maxLength: model.longestRow(options.max_length),
            overlong: options.overlong,
          }),
        ),
      train: (model, encoded, control) => sft(model, encoded, given, control),
    });
  },
};
