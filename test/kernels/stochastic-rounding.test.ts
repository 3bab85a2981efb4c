// AdamW without masters: which random bits belong to which number, that their mean is right, and that updates far below
// the spacing of bfloat16 are not lost, as they are when each is rounded to the nearest.
import { describe, expect, test } from "@jest/globals";
import { backends, ops, type BackendUnderTest } from "./support/backends";
import { bf16Value, round } from "./support/dtype";
import { execute, filled } from "./support/execute";
import { Maker, tensor, type Fields, type TensorValue } from "./support/fields";

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** Stochastic rounding of a float with 16 random bits, by the definition. */
function roundedWith(value: number, noise: number): number {
  word[0] = value;
  return bf16Value((bits[0] as number) + noise >>> 16);
}

/** [parameter, exp_avg, exp_avg_sq] of an element, by the definition in native/core/rounding.h. */
function noiseOf(seed: bigint, step: number, element: number): [number, number, number] {
  const block = Math.floor(element / 32) * 16 + (element % 16);
  const counter = [block % 2 ** 32, Math.floor(block / 2 ** 32), step, 1];
  const random = ops.philox(counter, [Number(seed & 0xffffffffn), Number(seed >> 32n)]);
  const at = Math.floor(element / 16) % 2 === 0 ? 0 : 2;
  const [first, second] = [random[at] as number, random[at + 1] as number];
  return [first & 0xffff, first >>> 16, second & 0xffff];
}

const stored = (values: ArrayLike<number>): TensorValue =>
  ({ dtype: "bfloat16", shape: [values.length], values: Float64Array.from(values), role: "inout" });

/** State of n equal elements, and what a step with these gradients makes of it. */
function stateOf(parameters: number[], changes: Fields = {}): Fields {
  const zeros = parameters.map(() => 0);
  return { parameter: stored(parameters), exp_avg: stored(zeros), exp_avg_sq: stored(zeros), ...changes };
}

function stepped(backend: BackendUnderTest, state: Fields, gradient: number[], options: Fields): Fields {
  const fields = { ...state, gradient: new Maker("bfloat16", 1).floats(gradient, [gradient.length], "inout"), ...options };
  return filled(state, execute(backend.with(1), "AdamWStochasticStep", fields, { dtype: "bfloat16" }));
}

describe.each(backends)("$label", (backend) => {
  test("each number is rounded with the bits of its seed, step and element", () => {
    const n = 100;
    const [seed, step, first] = [0x1234_5678_9abc_def0n, 77, 32 * 5_000_000_000];
    const gradient = Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i + 1)));
    // With both decays 0 the moments are the gradient and its square: what is stored of them shows the bits.
    const state = stepped(backend, stateOf(gradient.map(() => 1)), gradient,
      { learning_rate: 0, beta1: 0, beta2: 0, eps: 1, step, seed, first });
    const wanted = gradient.map((g, i) => {
      const [, average, square] = noiseOf(seed, step, first + i);
      return [roundedWith(g, average), roundedWith(Math.fround(g * g), square)];
    });
    expect([...tensor(state, "exp_avg").values]).toEqual(wanted.map(([average]) => average));
    expect([...tensor(state, "exp_avg_sq").values]).toEqual(wanted.map(([, square]) => square));
    expect([...tensor(state, "parameter").values]).toEqual(gradient.map(() => 1)); // exact already: never rounded away
    const moved = stepped(backend, stateOf(gradient.map(() => 1)), gradient.map(() => 1),
      { learning_rate: 1e-3, beta1: 0, beta2: 0, eps: 0, step: 1, seed, first: 0 });
    expect([...tensor(moved, "parameter").values])
      .toEqual(gradient.map((_, i) => roundedWith(Math.fround(1 - Math.fround(1e-3)), noiseOf(seed, 1, i)[0])));
  });

  test("the mean over many elements is the unrounded number", () => {
    const n = 32_768;
    const gradient = Array<number>(n).fill(0.3);
    const state = stepped(backend, stateOf(Array<number>(n).fill(1)), gradient,
      { learning_rate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: 1, seed: 3 });
    const exact = { parameter: 1 - 1e-4, exp_avg: 0.03, exp_avg_sq: 0.001 * 0.09 };
    for (const [name, mean] of Object.entries(exact)) {
      const { values } = tensor(state, name);
      const spacing = 2 ** (Math.floor(Math.log2(mean)) - 7);
      const found = values.reduce((sum, x) => sum + x, 0) / n;
      expect(new Set(values).size).toBe(2); // its two neighbours
      // The error of a mean of n draws between two neighbours: at most half their distance over sqrt(n); 5 of these.
      expect(Math.abs(found - mean)).toBeLessThan(5 * spacing / 2 / Math.sqrt(n));
    }
  });

  test("updates too small for the nearest bfloat16 add up", () => {
    const n = 1024;
    const steps = 100;
    const rate = 2 ** -14; // of a weight of 1: the next bfloat16 below is 2^-8 away, half of it is 32 updates
    const options = { learning_rate: rate, beta1: 0, beta2: 0, eps: 0, seed: 9 };
    let state = stateOf(Array<number>(n).fill(1));
    let nearest = 1;
    for (let step = 1; step <= steps; step++) {
      state = stepped(backend, state, Array<number>(n).fill(1), { ...options, step });
      nearest = round(nearest - rate, "bfloat16");
    }
    expect(nearest).toBe(1);
    const { values } = tensor(state, "parameter");
    const mean = values.reduce((sum, x) => sum + x, 0) / n;
    // The spacing is 2^-8; each of the steps adds a variance of at most rate * 2^-8, and n walks are averaged.
    const deviation = Math.sqrt(steps * rate * 2 ** -8 / n);
    expect(Math.abs(mean - (1 - steps * rate))).toBeLessThan(5 * deviation);
  });

  test("NaN and infinities stay what they are", () => {
    const state = stepped(backend, stateOf([1, 1, 1]), [NaN, Infinity, -Infinity],
      { learning_rate: 0, beta1: 0, beta2: 0, eps: 1, step: 1 });
    expect([...tensor(state, "exp_avg").values]).toEqual([NaN, Infinity, -Infinity]);
  });
});

test("backends whose arithmetic is the same have the same bits", () => {
  const fused = backends.filter(({ label }) => label !== "reference" && !label.includes("portable"));
  const n = 5000;
  const gradient = Array.from({ length: n }, (_, i) => Math.fround(Math.sin(3 * i)));
  const results = fused.map((backend) => {
    let state = stateOf(gradient.map((_, i) => round(Math.cos(i), "bfloat16")));
    for (let step = 1; step <= 3; step++) state = stepped(backend, state, gradient, { learning_rate: 1e-2, step });
    return ["parameter", "exp_avg", "exp_avg_sq"].map((name) => [...tensor(state, name).values]);
  });
  for (const result of results.slice(1)) expect(result).toEqual(results[0]);
});
