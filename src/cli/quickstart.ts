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
    const { overrides, flagOf } = overridesOf(given);
    // Without its control, what the built-in run says of that control is idle, and the user never said it.
    const { rejection: _, ...without } = QUICKSTART;
    const { controls } = overrides;
    const isControlled = !Array.isArray(controls) || controls.includes("rejection_sampling");
    const config = parseRunConfig(isControlled ? QUICKSTART : without, overrides, "quickstart", flagOf);
    await runConfig(config, given, context);
  },
};
