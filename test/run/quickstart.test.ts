// The built-in configuration: its control must differ from the preference training in nothing but the loss.
import { describe, expect, test } from "@jest/globals";
import { parseRunConfig } from "../../src/config/run-file";
import { QUICKSTART } from "../../src/run/quickstart";

const config = parseRunConfig(QUICKSTART, {}, "quickstart");

describe("the quickstart", () => {
  test("has the control, on as many rows in as many updates", () => {
    expect(config.controls).toEqual(["rejection_sampling"]);
    const control = { ...config.sft, ...config.rejection };
    const shared = (["batch_size", "num_train_epochs", "warmup_ratio", "weight_decay", "adam_beta2"] as const).map(
      (name) => [control[name], config.dpo[name]],
    );
    for (const [ours, theirs] of shared) expect(ours).toBe(theirs);
    expect(control.lr_scheduler_type).toBe(config.dpo.lr_scheduler_type);
    expect(config.rejection.distinct).toBe(false);
    expect(config.sft.max_steps + config.dpo.max_steps).toBe(0);
  });

  test("rewards by the teacher's answers and examines out of domain", () => {
    expect(config.pairs.target_source).toBe("teacher");
    expect(config.tasks.out_domain.length).toBeGreaterThan(0);
  });
});
