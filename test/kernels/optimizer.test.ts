// AdamW with clipping against torch.optim.AdamW and clip_grad_norm_, step after step.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { backends, type BackendUnderTest } from "./support/backends";
import { reals, round, type Real } from "./support/dtype";
import { execute, filled } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { largestError } from "./support/tolerance";

interface Golden {
  betas: [number, number];
  eps: number;
  weight_decay: number;
  max_grad_norm: number;
  initial: number[];
  steps: { learning_rate: number; grad: number[]; grad_norm: number; param: number[] }[];
}

const path = join(__dirname, "..", "fixtures", "adamw", "golden.json");
const goldens = JSON.parse(readFileSync(path, "utf8")) as Golden[];

/** PyTorch's numbers are float64; ours are rounded to float32 after each of three steps, parameters of order 1. */
const goldenLimit = 4 * 2 ** -24;

function normOf(backend: BackendUnderTest, gradient: number[]): number {
  const m = new Maker("float32", 1);
  const fields = { out: m.output([1], "float64"), x: m.floats(gradient) };
  return Math.sqrt(execute(backend.with(1), "SumOfSquares", fields, { dtype: "float32" }).results["out"]?.[0] ?? NaN);
}

/** As clip_grad_norm_ has it. */
const scaleOf = (norm: number, { max_grad_norm }: Golden): number => Math.min(1, max_grad_norm / (norm + 1e-6));

function initialState(golden: Golden, dtype: Real): Fields {
  const m = new Maker(dtype, 1);
  const n = golden.initial.length;
  const state = (values: ArrayLike<number>): Fields[string] => m.floats(values, [n], "inout");
  const zeros = new Float64Array(n);
  return {
    parameter: m.output([n]), master: state(golden.initial), exp_avg: state(zeros), exp_avg_sq: state(zeros),
    beta1: golden.betas[0], beta2: golden.betas[1], eps: golden.eps, weight_decay: golden.weight_decay,
  };
}

describe.each(backends)("$label", (backend) => {
  describe.each(reals)("%s", (dtype) => {
    test.each(goldens.map((golden) => [golden.weight_decay, golden] as const))("decay %d", (_decay, golden) => {
      let state = initialState(golden, dtype);
      golden.steps.forEach(({ learning_rate, grad, grad_norm, param }, i) => {
        const norm = normOf(backend, grad);
        expect(Math.abs(norm - grad_norm)).toBeLessThanOrEqual(1e-6 * grad_norm);
        const gradient = new Maker(dtype, 1).floats(grad, [grad.length], "inout");
        const fields = { ...state, gradient, learning_rate, gradient_scale: scaleOf(norm, golden), step: i + 1 };
        const alias: Record<string, string> = dtype === "float32" ? { parameter: "master" } : {};
        const outcome = execute(backend.with(1), "AdamWStep", fields, { dtype, alias });
        state = filled(state, outcome);
        const { values } = tensor(state, "master");
        expect(largestError(values, Float64Array.from(param))).toBeLessThanOrEqual(goldenLimit);
        expect(outcome.results["parameter"]).toEqual(values.map((value) => round(value, dtype)));
        expect([...(outcome.results["gradient"] ?? [])]).toEqual(Array(grad.length).fill(0));
      });
    });
  });
});
