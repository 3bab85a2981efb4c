// Verb: preference optimization on a file.
import { dpoRules } from "../config/effects";
import { flagsOf, givenOptions } from "../config/flags";
import { dpoOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { encodePairs } from "../data/encode";
import { parsePairRecord } from "../data/formats";
import { trainingWork } from "../plan/work";
import { dpo } from "../train/dpo";
import { openTrainedModel, required, TRAINED_MODEL_FLAGS } from "./common";
import { readNamed, TRAIN_FILE_FLAGS, trainOnFiles } from "./train-files";
import type { Verb } from "./verb";

export const dpoVerb: Verb = {
  name: "dpo",
  summary: "optimize a model's preferences on a file of pairs",
  flags: { ...TRAINED_MODEL_FLAGS, ...TRAIN_FILE_FLAGS, ...flagsOf(dpoOptions, "Training:") },
  examples: [
    [
      "dpo --model tuned --train pairs.jsonl --output refined",
      "records {prompt, chosen, rejected}, text or messages",
    ],
    ["dpo --model tuned --train pairs.jsonl --output refined --beta 0.3 --rpo-alpha 1", "with an NLL term"],
  ],
  run: async (flags, context) => {
    const given = givenOptions(dpoOptions, flags);
    const options = parseOptions(dpoOptions, given, "dpo", dpoRules);
    const pairs = await readNamed(required(flags, "train", "a file of pairs"), parsePairRecord);
    const work = trainingWork("dpo", options);
    await trainOnFiles(flags, context, (...where) => openTrainedModel(...where, work), {
      stage: "dpo",
      encode: (model) =>
        Promise.resolve(
          encodePairs(model.tokenizer, pairs, {
            maxLength: model.longestRow(options.max_length),
            overlong: options.overlong,
          }),
        ),
      train: (model, encoded, control) => dpo(model, encoded, given, control),
    });
  },
};
