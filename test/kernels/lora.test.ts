// What the model rests on beyond an adapter's numbers: an untrained one changes no bit of a linear layer, and a row
// depends on its own input row alone: not on whether the weight was frozen either, but on Hopper.
import { describe, expect, test } from "@jest/globals";
import { fastBackends } from "./support/backends";
import { reals, type Real } from "./support/dtype";
import { execute, sameBits } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { counting, resultRows, withRows } from "./support/rows";

const mostRows = 70;
const shapes = [
  [64, 96, 8, [0, 96]], [129, 33, 5, [0, 11, 22, 33]], [512, 40, 16, [8, 24]], [1100, 64, 8, [0, 32, 32, 48, 48, 64]],
] as const;

function layer(dtype: Real, i: number, o: number, r: number, blocks: readonly number[]): Fields {
  const m = new Maker(dtype, i * 1000 + o);
  const rows = blocks.reduce((sum, edge, index) => sum + (index % 2 === 0 ? -edge : edge), 0);
  const ranks = r * blocks.length / 2;
  return {
    out: m.output([mostRows, o]), u: m.output([mostRows, ranks]), x: m.real([mostRows, i]), bias: m.real([o]),
    weight: m.real([o, i], 1 / Math.sqrt(i)), residual: m.real([mostRows, o]), a: m.real([ranks, i], 1 / Math.sqrt(i)),
    b: m.real([rows, r]), blocks: [...blocks], scale: 2,
  };
}

describe.each(fastBackends)("$label", (backend) => {
  describe.each(reals)("%s", (dtype) => {
    // The layer alone is cuBLASLt's where that is found: the cases of conformance hold both to the reference.
    const testAlone = backend.mayUseCublaslt ? test.skip : test;
    testAlone.each(shapes)("I=%i O=%i r=%i of %j: with b zero every bit is that of the layer alone", (i, o, r, blocks) => {
      const fields = layer(dtype, i, o, r, blocks);
      const b = { ...tensor(fields, "b"), values: new Float64Array(tensor(fields, "b").values.length) };
      const { u: _u, a: _a, b: _b, blocks: _blocks, scale: _scale, ...plain } = fields;
      for (const rows of [[0], counting(17), counting(mostRows)]) {
        const part = withRows({ ...fields, b }, ["out", "u", "x", "residual"], rows);
        const alone = withRows(plain, ["out", "x", "residual"], rows);
        for (const aligned of [false, true]) {
          const wanted = execute(backend.with(2), "MatmulForward", alone, { dtype, aligned }).results["out"];
          const { results } = execute(backend.with(2), "LoraForward", part, { dtype, aligned });
          expect([rows.length, sameBits(results["out"], wanted)]).toEqual([rows.length, true]);
        }
      }
    });

    test.each(shapes)("I=%i O=%i r=%i of %j: rows are independent, frozen or not", (i, o, r, blocks) => {
      const fields = layer(dtype, i, o, r, blocks);
      // On Hopper frozen weights, and tensors that cannot be read 16 bytes at a time, have kernels of their own.
      const wholeFor = (freeze: string[], aligned: boolean) => {
        const how = backend.isCuda && !backend.isBeforeHopper ? { dtype, freeze, aligned } : { dtype };
        return execute(backend.with(2), "LoraForward", fields, how).results;
      };
      for (const n of [1, 2, 3, 7, 16, 17, 31, 33, 64, 65, 70]) {
        const rows = counting(n).map((row) => mostRows - n + row);
        const part = withRows(fields, ["out", "u", "x", "residual"], rows);
        for (const freeze of [[], ["weight", "a"]]) {
          const aligned = n % 2 === 0;
          const whole = wholeFor(freeze, aligned);
          const { results, damage } = execute(backend.with(2), "LoraForward", part, { dtype, freeze, aligned });
          const same = ["out", "u"].map((name) =>
            sameBits(results[name], resultRows(tensor(fields, name), whole[name], rows)));
          expect([n, freeze, same, damage]).toEqual([n, freeze, [true, true], []]);
        }
      }
    });
  });
});
