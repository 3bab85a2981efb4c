// Verb: the built-in run.
import { parseRunConfig } from "../config/run-file";
import { QUICKSTART } from "../run/quickstart";
import { overridesOf, RUN_FLAGS, runConfig } from "./run";
import type { Verb } from "./verb";

const { "data-dir": _, ...flags } = RUN_FLAGS;

export const quickstartVerb: Verb = {
  name: "quickstart",
  summary: "run the whole method on built-in word problems, in minutes",
  flags,
  examples: [
    ["quickstart", "demonstrations to report, in runs/quickstart; again: instantly, from what is there"],
    ["quickstart --fresh", "compute everything anew"],
    ["quickstart --seeds 0,1,2,3,4", "five seeds, and whether self-refinement helps over them"],
  ],
  run: async (given, context) => {
    const config = parseRunConfig(QUICKSTART, overridesOf(given), "quickstart");
    await runConfig(config, given, context);
  },
};
