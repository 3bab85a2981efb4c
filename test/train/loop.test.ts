// The optimizer's loop alone: while an update is under way the next group is drawn and packed, and a checkpoint of then
// still says which group comes next.
import { expect, test } from "@jest/globals";
import { optimize, type GroupResult } from "../../src/train/loop";
import type { TrainingSession } from "../../src/train/session";
import { sftOptions } from "../../src/config/options";
import { parseOptions } from "../../src/config/parse";

const options = parseOptions(sftOptions, { batch_size: 2, num_train_epochs: 2 }, "sft");
const result: GroupResult = { loss: 0, rowTokens: 1, scoredTokens: 1, inputTokens: 1 };

test("the next group is packed while the update runs, none behind the last", async () => {
  const seen: string[] = [];
  const say = (what: string): void => void seen.push(what);
  const session = {
    update: async ({ step }: { step: number }) => {
      say(`update ${step}`);
      await new Promise((done) => setImmediate(done));
      say(`updated ${step}`);
      return { gradNorm: 1 };
    },
  } as unknown as TrainingSession;
  const pack = (items: readonly number[]) => {
    say(`pack ${items.length}`);
    return async () => {
      say("accumulate");
      return result;
    };
  };
  const steps = [];
  for await (const step of optimize({ session, count: 3, options, identity: async () => 0, pack }, {})) {
    steps.push(step.epoch);
    say("step");
  }
  expect(steps).toEqual([2 / 3, 1, 1 + 2 / 3, 2]);
  const after = (step: number, size: number) => (
    ["accumulate", `update ${step}`, `pack ${size}`, `updated ${step}`, "step"]);
  expect(seen).toEqual([
    "pack 2", ...after(1, 1), ...after(2, 2), ...after(3, 1), "accumulate", "update 4", "updated 4", "step",
  ]);
});
