// The loss head beyond its numbers: log-probs do not depend on chunks nor on the op that computes them, and a loss can
// be taken chunk by chunk.
import { describe, expect, test } from "@jest/globals";
import { backends, reference, type NativeBackend, type NativeTensor } from "./support/backends";
import { encode, reals, type Real } from "./support/dtype";
import { execute, sameBits } from "./support/execute";
import { isTensor, Maker, tensor, type Fields, type TensorValue } from "./support/fields";
import { resultRows, withRows } from "./support/rows";
import { kinds } from "./cases/preference";

const [m, c, v] = [37, 48, 301];
const chunkings = [[37], [1, 37], [12, 24, 36, 37], Array.from({ length: m }, (_, i) => i + 1)];

function head(dtype: Real): { forward: Fields; loss: Fields } {
  const maker = new Maker(dtype, 8);
  const shared = { x: maker.real([m, c]), weight: maker.real([v, c], 0.2), targets: maker.indices(m, v) };
  const logps = maker.output([m], "float32");
  const metrics = maker.output([m, 3], "float32");
  const outputs = { logps, metrics, dx: maker.output([m, c]), dweight: maker.accumulated([v, c]) };
  return { forward: { logps, ...shared }, loss: { ...outputs, ...shared, dlogps: maker.float([m]) } };
}

/** One row whose logits are the weight, so that dweight is their gradient. */
function headOf(dtype: Real, logits: number[], target: number): Fields {
  const maker = new Maker(dtype, 1);
  const real = (values: number[]): TensorValue =>
    ({ ...maker.real([values.length, 1], 0), values: Float64Array.from(values) });
  return {
    logps: maker.output([1], "float32"), metrics: maker.output([1, 3], "float32"), dx: maker.output([1, 1]),
    dweight: { ...maker.floats(logits.map(() => 0), [logits.length, 1]), role: "accumulated" },
    dlogps: maker.floats([1]), x: real([1]), weight: real(logits), targets: maker.ints([target]), chunk_ends: [1],
  };
}

const range = (length: number, value: (i: number) => number): number[] => Array.from({ length }, (_, i) => value(i));
const damaged: [string, (length: number) => number[]][] = [
  ["all -infinity", (length) => range(length, () => -Infinity)],
  ["all but the last -infinity", (length) => range(length, (i) => (i === length - 1 ? -3 : -Infinity))],
  ["some -infinity", (length) => range(length, (i) => (i % 3 === 0 ? -Infinity : i % 5))],
  ["one NaN", (length) => range(length, (i) => (i === length - 2 ? NaN : i % 5))],
  ["all NaN", (length) => range(length, () => NaN)],
  ["one +infinity", (length) => range(length, (i) => (i === 0 ? Infinity : i % 5))],
  ["far apart", (length) => range(length, (i) => (i % 2 === 0 ? -1e30 : i % 5))],
];

/** Three pairs of sequences that end at rows 5, 12 | 20, 24 | 30, 37. */
const ends = [5, 12, 20, 24, 30, 37];

/** The largest difference, relative where values are above 1; infinities and NaN must be where they are wanted. */
function farthest(got: Float64Array | undefined, wanted: Float64Array | undefined): number {
  if (!got || !wanted) return Infinity;
  return got.reduce((most, value, i) => {
    const want = wanted[i] ?? NaN;
    return Object.is(value, want) ? most : Math.max(most, Math.abs(value - want) / Math.max(1, Math.abs(want)));
  }, 0);
}

type Values = Float32Array | Int32Array;
const vector = (data: Values, dtype: "float32" | "int32"): NativeTensor => ({ data, dtype, shape: [data.length] });

/** The preference loss of the pairs that lie in rows [begin, end): fills their dlogps. */
function preference(backend: NativeBackend, logps: Float32Array, dlogps: Float32Array, rows: [number, number]): void {
  const pairsBefore = (row: number): number => ends.filter((e) => e <= row).length / 2;
  backend.run("PreferenceLoss", {
    dlogps: vector(dlogps, "float32"), logps: vector(logps, "float32"), losses: vector(new Float32Array(3), "float32"),
    sequence_logps: vector(new Float32Array(6), "float32"), sequence_ends: vector(Int32Array.from(ends), "int32"),
    reference_logps: vector(Float32Array.from(ends, (e) => -2 * e), "float32"), kind: kinds.sigmoid, beta: 0.5,
    pair_weight: 1 / 3, nll_weight: 0.1, pair_begin: pairsBefore(rows[0]), pair_end: pairsBefore(rows[1]),
  });
}

/** Runs the loss with the gradient taken inside, at the end of each chunk. */
function runWithCallback(
  backend: NativeBackend, dtype: Real, loss: Fields, chunkEnds: number[],
): Record<string, Float32Array> {
  const given = Object.fromEntries(Object.entries(loss).map(([name, field]) => {
    if (!isTensor(field)) return [name, field];
    const type = field.dtype === "T" ? dtype : field.dtype;
    return [name, { data: encode(field.values, type), dtype: type, shape: field.shape }];
  }));
  const data = (name: string): Float32Array => (given[name] as NativeTensor).data as Float32Array;
  data("dlogps").fill(NaN);
  const onChunk = (...rows: [number, number]): void => preference(backend, data("logps"), data("dlogps"), rows);
  backend.run("LmHeadLoss", { ...given, chunk_ends: chunkEnds, on_chunk: onChunk });
  return { logps: data("logps"), dlogps: data("dlogps"), dweight: data("dweight") };
}

describe.each(backends)("$label", (backend) => {
  describe.each(reals)("%s", (dtype) => {
    const { forward, loss } = head(dtype);

    test.each(chunkings)("logps are those of LmHeadForward with chunks to %j", (...chunkEnds) => {
      const wanted = execute(backend.with(1), "LmHeadForward", forward, { dtype }).results["logps"];
      const fields = { ...loss, chunk_ends: chunkEnds.flat() };
      expect(sameBits(execute(backend.with(2), "LmHeadLoss", fields, { dtype }).results["logps"], wanted)).toBe(true);
    });

    test("no bit depends on whether metrics are asked for, and these not on the chunks", () => {
      const run = (fields: Fields, chunk_ends: number[]): Record<string, Float64Array> =>
        execute(backend.with(2), "LmHeadLoss", { ...fields, chunk_ends }, { dtype }).results;
      const { metrics: _metrics, ...without } = loss;
      const [asked, unasked, cut] = [run(loss, [m]), run(without, [m]), run(loss, [1, 20, m])];
      for (const name of ["logps", "dx", "dweight"]) expect(sameBits(unasked[name], asked[name])).toBe(true);
      expect(sameBits(cut["metrics"], asked["metrics"])).toBe(true);
    });

    test("rows do not depend on each other", () => {
      const all = execute(backend.with(2), "LmHeadForward", forward, { dtype }).results["logps"];
      for (const rows of [[36], [0, 1, 2], [20, 3]]) {
        const part = withRows(forward, ["logps", "x", "targets"], rows);
        const { results } = execute(backend.with(2), "LmHeadForward", part, { dtype });
        expect(sameBits(results["logps"], resultRows(tensor(forward, "logps"), all, rows))).toBe(true);
      }
    });

    test("a loss taken inside, chunk by chunk, is the same as one given before", () => {
      const chunkEnds = [12, 24, 37];
      const inside = runWithCallback(backend.with(2), dtype, loss, chunkEnds);
      const before = { ...loss, dlogps: new Maker(dtype, 1).floats(inside["dlogps"] ?? []), chunk_ends: chunkEnds };
      const { results } = execute(backend.with(2), "LmHeadLoss", before, { dtype, aligned: true });
      for (const name of ["logps", "dweight"]) {
        expect(sameBits(Float64Array.from(inside[name] ?? []), results[name])).toBe(true);
      }
    });

    const expectAsReference = (logits: number[], target: number): void => {
      const fields = headOf(dtype, logits, target);
      const run = (by: NativeBackend): Record<string, Float64Array> =>
        execute(by, "LmHeadLoss", fields, { dtype }).results;
      const [got, wanted] = [run(backend.with(2)), run(reference)];
      for (const name of ["logps", "metrics", "dweight"]) {
        expect(farthest(got[name], wanted[name])).toBeLessThan(dtype === "float32" ? 2 ** -20 : 2 ** -8);
      }
    };

    test.each(damaged)("logits %s give what the reference gives", (_, logitsOf) => {
      for (const [length, target] of [[301, 300], [304, 0], [1, 0]] as const) {
        expectAsReference(logitsOf(length), target);
      }
    });

    test("a vocabulary of 128256 gives what the reference gives", () => {
      expectAsReference(range(128256, (i) => (i % 11) / 4), 128255);
    });

    test("metrics of a uniform row, of a certain one and of a tie", () => {
      const metricsOf = (logits: number[], target: number): number[] =>
        [...execute(backend.with(2), "LmHeadLoss", headOf(dtype, logits, target), { dtype }).results["metrics"]!];
      const uniform = metricsOf(range(1000, () => 2), 7);
      expect(uniform.slice(1)).toEqual([1, 2]);
      expect(Math.abs(uniform[0]! - Math.log(1000))).toBeLessThan(1e-6 * Math.log(1000));
      expect(metricsOf(range(64, (i) => (i === 5 ? 512 : 0)), 5)).toEqual([0, 1, 8]);
      expect(metricsOf(range(64, (i) => (i === 5 ? 512 : 0)), 6)).toEqual([0, 0, 8]);
      const tie = range(64, (i) => (i === 5 || i === 9 ? 512 : 0));
      expect([5, 9, 10].map((target) => metricsOf(tie, target)[1])).toEqual([1, 1, 0]);
      expect(metricsOf(tie, 5)[0]).toBeCloseTo(Math.log(2), 6);
    });

    test("an error of the callback reaches the caller, and the backend goes on", () => {
      const failing = (): void => { throw new Error("stop here"); };
      const run = (fields: Fields): unknown => execute(backend.with(2), "LmHeadLoss", fields, { dtype });
      expect(() => run({ ...loss, chunk_ends: [m], on_chunk: failing })).toThrow("stop here");
      expect(() => run({ ...loss, chunk_ends: [m] })).not.toThrow();
    });
  });
});
