// Verb: an adapter and its base model as one model.
import { resolve } from "node:path";
import { fail } from "../errors";
import { freeOutput, MODEL_FLAGS, openModel, OVERWRITE_FLAG, required, textFlag } from "./common";
import type { Verb } from "./verb";

export const mergeVerb: Verb = {
  name: "merge",
  summary: "add an adapter to the weights of its base model and save the whole",
  flags: {
    ...MODEL_FLAGS,
    output: textFlag("directory of the merged model", "Files:", { demandOption: true }),
    ...OVERWRITE_FLAG,
  },
  examples: [
    ["merge --model adapter --output whole", "the base model is where the adapter says"],
    ["merge --model adapter --base-model DIR --output whole --dtype bfloat16", "or where you say"],
  ],
  run: async (flags, context) => {
    const output = await freeOutput(resolve(required(flags, "output", "a directory")), flags["overwrite"]);
    const model = await openModel(flags, context);
    try {
      if (!model.lora) {
        fail("ERR_CONFIG", `--model ${String(flags["model"])} is no adapter: there is nothing to merge`, { option: "model" });
      }
      await model.expectBaseStays(output);
      await model.merge();
      await model.save(output, { replace: flags["overwrite"] === true });
      context.emit({ type: "finished", output });
      context.print(`${output}: ${model.size}, merged`);
    } finally {
      model.dispose();
    }
  },
};
