// A row of a linear layer depends on its own input row alone, bit for bit, whatever the number of rows and whether the
// weight was frozen: else a sample would depend on its batch, and a training forward differ from a decoding one.
// And products whose sizes fit the tiles of fast kernels or just do not.
import { describe, expect, test } from "@jest/globals";
import { fastBackends, reference } from "./support/backends";
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
  [1030, 64, 72], [9, 1304, 24], [40, 1000, 40],
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
      const whole = execute(backend.with(2), "MatmulForward", fields, { dtype }).results["out"];
      for (const n of counting(mostRows + 1)) {
        // The last n rows: their place in a tile differs from that in the whole.
        const rows = counting(n).map((row) => mostRows - n + row);
        const part = withRows(fields, ["out", "x", "residual"], rows);
        const wanted = resultRows(tensor(fields, "out"), whole, rows);
        for (const freeze of [[], ["weight"]]) {
          const aligned = n % 2 === 0;
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
