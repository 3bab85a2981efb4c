// A row of a linear layer depends on its own input row alone, bit for bit, whatever the number of rows and whether the
// weight was frozen: else a sample would depend on its batch, and a training forward differ from a decoding one.
import { describe, expect, test } from "@jest/globals";
import { fastBackends, reference } from "./support/backends";
import { reals, type Real } from "./support/dtype";
import { execute, sameBits } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { counting, resultRows, withRows } from "./support/rows";
import { errorLimit, largestError } from "./support/tolerance";

const mostRows = 70;
const shapes = [[64, 96], [129, 33], [512, 5], [1100, 65], [1, 1]] as const;

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
          const { results, damage } = execute(backend.with(2), "MatmulForward", part, { dtype, freeze });
          expect([n, freeze, sameBits(results["out"], wanted), damage]).toEqual([n, freeze, true, []]);
        }
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
