// A row of a linear layer depends on its own input row alone, bit for bit, whatever the number of rows: else a sample
// would depend on its batch. But on Hopper not on whether the weight was frozen either.
// And products whose sizes fit the tiles of fast kernels or just do not.
import { describe, expect, test } from "@jest/globals";
import { fastBackends, ops, reference, type NativeBackend } from "./support/backends";
import { reals, type Real } from "./support/dtype";
import { execute, sameBits } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { counting, resultRows, withRows } from "./support/rows";
import { errorLimit, largestError } from "./support/tolerance";

const mostRows = 70;
const shapes = [[64, 96], [64, 264], [129, 33], [512, 5], [1100, 65], [1, 1]] as const;

/** Rows, inputs and outputs around the edges of tiles, in tensors that can be accessed 16 bytes at a time. */
const tileShapes = [
  [1, 256, 96], [16, 40, 64], [17, 64, 32], [64, 136, 64], [65, 72, 136], [129, 136, 264], [300, 128, 40],
  [1030, 64, 72], [9, 1304, 24], [40, 1000, 40], [256, 520, 48], [257, 72, 520], [511, 200, 264],
] as const;

function layer(dtype: Real, i: number, o: number): Fields {
  const m = new Maker(dtype, i * 1000 + o);
  return {
    out: m.output([mostRows, o]), x: m.real([mostRows, i]), weight: m.real([o, i], 1 / Math.sqrt(i)), bias: m.real([o]),
    residual: m.real([mostRows, o]),
  };
}

describe.each(fastBackends)("$label", (backend) => {
  describe.each(reals)("%s", (dtype) => {
    test.each(shapes)("I=%i O=%i: rows are independent, frozen or not, 1 to 70 of them", (i, o) => {
      const fields = layer(dtype, i, o);
      // On Hopper frozen weights, and tensors that cannot be read 16 bytes at a time, have kernels of their own.
      const wholes = new Map<string, Float64Array | undefined>();
      const wholeFor = (freeze: string[], aligned: boolean): Float64Array | undefined => {
        const how = backend.isCuda && !backend.isBeforeHopper ? { dtype, freeze, aligned } : { dtype };
        const key = JSON.stringify(how);
        if (!wholes.has(key)) wholes.set(key, execute(backend.with(2), "MatmulForward", fields, how).results["out"]);
        return wholes.get(key);
      };
      for (const n of counting(mostRows + 1)) {
        // The last n rows: their place in a tile differs from that in the whole.
        const rows = counting(n).map((row) => mostRows - n + row);
        const part = withRows(fields, ["out", "x", "residual"], rows);
        for (const freeze of [[], ["weight"]]) {
          const aligned = n % 2 === 0;
          const wanted = resultRows(tensor(fields, "out"), wholeFor(freeze, aligned), rows);
          const { results, damage } = execute(backend.with(2), "MatmulForward", part, { dtype, freeze, aligned });
          expect([n, freeze, sameBits(results["out"], wanted), damage]).toEqual([n, freeze, true, []]);
        }
      }
    });

    test.each(tileShapes)("N=%i I=%i O=%i, aligned: results and gradients", (n, i, o) => {
      const m = new Maker(dtype, n);
      const [x, weight, dout] = [m.real([n, i]), m.real([o, i], 1 / Math.sqrt(i)), m.real([n, o])];
      const runs: [string, Fields][] = [
        ["MatmulForward", { out: m.output([n, o]), x, weight, bias: m.real([o]), residual: m.real([n, o]) }],
        ["MatmulForward", { out: m.output([n, o], "float32"), x, weight }],
        ["MatmulBackwardInput", { dx: m.inPlace([n, i]), dout, weight, accumulate: true }],
        ["MatmulBackwardWeight", { dweight: m.accumulated([o, i]), dbias: m.accumulated([o]), dout, x }],
      ];
      for (const [op, fields] of runs) {
        const truth = execute(reference, op, fields, { dtype: "float32" }).results;
        const inSameType = execute(reference, op, fields, { dtype }).results;
        const { results, damage } = execute(backend.with(2), op, fields, { dtype, aligned: true });
        expect(damage).toEqual([]);
        for (const [name, wanted] of Object.entries(truth)) {
          const limit = errorLimit(wanted, inSameType[name] as Float64Array, Math.max(n, i, o));
          expect(largestError(results[name] as Float64Array, wanted)).toBeLessThanOrEqual(limit);
        }
        const again = execute(backend.with(2), op, fields, { dtype, aligned: true }).results;
        for (const name of Object.keys(truth)) expect(sameBits(again[name], results[name])).toBe(true);
      }
    });

    test("thaw() lets the weight change", () => {
      const before = layer(dtype, 64, 48);
      const after = { ...before, weight: new Maker(dtype, 5).real([48, 64]) };
      for (const fields of [before, after]) {
        const { results } = execute(backend.with(1), "MatmulForward", fields, { dtype, freeze: ["weight"] });
        const truth = execute(reference, "MatmulForward", fields, { dtype: "float32" }).results["out"] as Float64Array;
        const same = execute(reference, "MatmulForward", fields, { dtype }).results["out"] as Float64Array;
        expect(largestError(results["out"] as Float64Array, truth)).toBeLessThanOrEqual(errorLimit(truth, same, 64));
      }
    });
  });
});

describe("which kernels compute", () => {
  if (!ops.backends().includes("cuda-sim")) {
    test.skip("cuda-sim is not in this build", () => undefined);
    return;
  }
  const [hopper, ampere] = [90, 80].map((compute) => ops.create({ name: "cuda-sim", cublaslt: "off", compute }));
  const m = new Maker("bfloat16", 3);
  const forward = (n: number, i: number, o: number): [string, Fields] =>
    ["MatmulForward", { out: m.output([n, o], "float32"), x: m.real([n, i]), weight: m.real([o, i]) }];
  const input = (n: number, i: number, o: number): [string, Fields] =>
    ["MatmulBackwardInput", { dx: m.output([n, i]), dout: m.real([n, o]), weight: m.real([o, i]) }];
  const weight = (n: number, i: number, o: number): [string, Fields] =>
    ["MatmulBackwardWeight", { dweight: m.accumulated([o, i]), dout: m.real([n, o]), x: m.real([n, i]) }];

  /** Simulated wgmma rounds otherwise than mma.sync, so the bits tell. */
  const isHoppers = ([op, fields]: [string, Fields], freeze: string[], aligned: boolean): boolean => {
    const run = { dtype: "bfloat16" as const, freeze, aligned };
    const [mine, other] = [hopper, ampere].map((backend) => execute(backend as NativeBackend, op, fields, run).results);
    return Object.keys(mine ?? {}).some((name) => !sameBits(mine?.[name], other?.[name]));
  };

  test.each([
    ["256 rows", forward(256, 512, 64), true], ["3 rows", forward(3, 2048, 512), true],
    ["rows that TMA cannot read", forward(256, 508, 64), false], ["few outputs", forward(256, 512, 24), false],
    ["input gradients", input(256, 64, 512), true], ["weight gradients", weight(256, 64, 64), true],
    ["weight gradients in parts", weight(1100, 40, 48), true], ["few outputs' weights", weight(256, 64, 24), false],
  ] satisfies [string, [string, Fields], boolean][])("cuda-sim: wgmma for %s", (_, run, wanted) => {
    expect(isHoppers(run, [], true)).toBe(wanted);
    expect(isHoppers(run, [], false)).toBe(false);
    if (run[0] === "MatmulForward") expect(isHoppers(run, ["weight"], true)).toBe(false);
  });
});
