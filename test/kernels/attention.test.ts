// What attention must not depend on: the place of a sequence in its batch, the sharing of a prompt, the way it was
// computed (packed rows or a paged cache), and who else is decoded.
import { describe, expect, test } from "@jest/globals";
import { backends, ops, reference, type BackendUnderTest, type NativeBackend } from "./support/backends";
import { reals, type Real } from "./support/dtype";
import { execute, sameBits, type Step } from "./support/execute";
import { Maker, tensor, type Fields, type TensorValue } from "./support/fields";
import { counting, resultRows, rowsOf, withRows } from "./support/rows";
import { errorLimit, largestError, otherPathLimit } from "./support/tolerance";
import { attentionFields, layoutOf, type Group, type Heads } from "./cases/attention";
import { decodeFields, decodeScalars, fillCache } from "./cases/kv-cache";

const shapes: Heads[] = [8, 16, 48, 64, 96, 128].map((d, i) => ({ h: 4, k: [1, 2, 4][i % 3] as number, d }));
const windows = [0, 5];

interface Setting extends Heads {
  window: number;
}

const settings: Setting[] = shapes.flatMap((heads) => windows.map((window) => ({ ...heads, window })));

/** Rows to build batches from. */
interface Pool {
  dtype: Real;
  setting: Setting;
  qkv: TensorValue;
}

/** Results of a forward pass over `groups` whose row r has the q, k and v of row source[r] of `pool`. */
function forward(backend: BackendUnderTest, groups: Group[], source: number[], pool: Pool): Float64Array[] {
  const { dtype, setting, qkv } = pool;
  const fields = attentionFields(new Maker(dtype, 1), layoutOf(groups), setting, setting.window);
  const all = { ...fields, qkv: rowsOf(qkv, source) };
  const { results } = execute(backend.with(2), "AttentionForward", all, { dtype, aligned: true });
  return [results["out"] as Float64Array, results["lse"] as Float64Array];
}

function poolOf(dtype: Real, setting: Setting, rows: number): Pool {
  const { h, k, d } = setting;
  return { dtype, setting, qkv: new Maker(dtype, d).real([rows, h + 2 * k, d]) };
}

/** Rows [begin, end) of each result, `rows` of which there are in all. */
function cut(results: Float64Array[], rows: number, begin: number, end: number): Float64Array[] {
  return results.map((values) => {
    const width = values.length / rows;
    return values.slice(begin * width, end * width);
  });
}

const range = (begin: number, end: number): number[] => counting(end - begin).map((i) => begin + i);
const same = (a: Float64Array[], b: Float64Array[]): boolean => a.every((values, i) => sameBits(values, b[i]));

/** Writes the rows to a cache, pages in reverse order, and decodes the last of them. */
function decodeLast(backend: BackendUnderTest, dtype: Real, setting: Setting, qkv: TensorValue): Float64Array {
  const { h, k, d, window } = setting;
  const length = qkv.shape[0] as number;
  const pageSize = 16;
  const pages = Math.ceil(length / pageSize);
  const table = counting(pages).reverse();
  const slots = counting(length).map((row) => Number(table[Math.floor(row / pageSize)]) * pageSize + (row % pageSize));
  const m = new Maker(dtype, length);
  const cache = (): TensorValue => ({ ...m.real([pages, k, pageSize, d]), role: "scratch" });
  const [k_cache, v_cache] = [cache(), cache()];
  const fields: Fields = {
    out: m.output([1, h, d]), qkv: rowsOf(qkv, [length - 1]), k_cache, v_cache, page_table: m.ints(table, [1, pages]),
    lengths: m.ints([length]), ...decodeScalars(setting, window),
  };
  const write: Step = { op: "KvCacheWrite", fields: { k_cache, v_cache, qkv, slots: m.ints(slots), num_heads: h } };
  return execute(backend.with(1), "AttentionDecode", fields, { dtype, setup: [write] }).results["out"] as Float64Array;
}

function expectClose(got: Float64Array, wanted: Float64Array, dtype: Real, isStoredAsT: boolean, terms: number): void {
  const narrow = isStoredAsT && dtype === "bfloat16";
  expect(largestError(got, wanted)).toBeLessThanOrEqual(otherPathLimit(wanted, narrow, terms));
}

describe.each(backends)("$label", (backend) => {
  describe.each(reals)("%s", (dtype) => {
    test.each(settings)("D=$d K=$k window $window: repacking changes no bit", (setting) => {
      const pool = poolOf(dtype, setting, 120);
      const alone = forward(backend, [{ prompt: 70 }], range(0, 70), pool);
      const others: Group[][] = [[{ prompt: 1 }], [{ prompt: 33, answers: [3, 1] }], [{ prompt: 5 }, { prompt: 13 }]];
      for (const before of others) {
        const shift = layoutOf(before).rows;
        const source = [...range(70, 70 + shift), ...range(0, 70), ...range(110, 120)];
        const packed = forward(backend, [...before, { prompt: 70 }, { prompt: 10 }], source, pool);
        expect(same(cut(packed, source.length, shift, shift + 70), alone)).toBe(true);
      }
    });

    test.each(settings)("D=$d K=$k window $window: prompt | a | b equals [prompt a], [prompt b]", (setting) => {
      const pool = poolOf(dtype, setting, 100);
      const [prompt, a, b] = [37, 20, 30];
      const shared = forward(backend, [{ prompt, answers: [a, b] }], range(0, prompt + a + b), pool);
      const rowsOfB = [...range(0, prompt), ...range(prompt + a, prompt + a + b)];
      const aloneA = forward(backend, [{ prompt: prompt + a }], range(0, prompt + a), pool);
      const aloneB = forward(backend, [{ prompt: prompt + b }], rowsOfB, pool);
      const total = prompt + a + b;
      const pairs = [
        [cut(shared, total, 0, prompt + a), cut(aloneA, prompt + a, 0, prompt + a)],
        [cut(shared, total, prompt + a, total), cut(aloneB, prompt + b, prompt, prompt + b)],
      ] as const;
      for (const [got, wanted] of pairs) {
        got.forEach((values, i) => expectClose(values, wanted[i] as Float64Array, dtype, i === 0, setting.d));
      }
    });

    test.each(settings)("D=$d K=$k window $window: decoding equals the last row of a forward pass", (setting) => {
      for (const length of [1, 16, 17, 61]) {
        const pool = poolOf(dtype, setting, length);
        const rows = forward(backend, [{ prompt: length }], range(0, length), pool);
        const [out] = cut(rows, length, length - 1, length);
        const decoded = decodeLast(backend, dtype, setting, pool.qkv);
        expectClose(decoded, out as Float64Array, dtype, true, setting.d);
      }
    });

    test("a decoded row does not depend on the other rows", () => {
      const cache = { pages: 11, pageSize: 16, h: 4, k: 2, d: 64 };
      const lengths = counting(20).map((b) => 1 + ((b * 37) % 176));
      const m = new Maker(dtype, 3);
      const fields = decodeFields(m, cache, lengths, 0);
      const setup = fillCache(m, cache, fields);
      const all = execute(backend.with(2), "AttentionDecode", fields, { dtype, setup }).results["out"];
      for (const rows of [[0], [19], [7, 3], [19, 18, 17, 5, 4]]) {
        const part = withRows(fields, ["out", "qkv", "page_table", "lengths"], rows);
        const { results } = execute(backend.with(1), "AttentionDecode", part, { dtype, setup });
        expect(sameBits(results["out"], resultRows(tensor(fields, "out"), all, rows))).toBe(true);
      }
    });
  });
});

/** Six query heads, two of keys and values, forward and backward: ops and their fields. */
function bothWays(groups: Group[], d: number, window: number): [string, Fields][] {
  const m = new Maker("bfloat16", d);
  const layout = layoutOf(groups);
  const forward = attentionFields(m, layout, { h: 6, k: 2, d }, window);
  const { results } = execute(reference, "AttentionForward", forward, { dtype: "bfloat16" });
  const given = (name: string): TensorValue => ({
    ...tensor(forward, name), role: "input", values: results[name] as Float64Array,
  });
  const backward: Fields = {
    ...forward, out: given("out"), lse: given("lse"), dout: m.real([layout.rows, 6, d]),
    dqkv: m.output([layout.rows, 10, d]),
  };
  return [["AttentionForward", forward], ["AttentionBackward", backward]];
}

describe("which kernels compute", () => {
  if (!ops.backends().includes("cuda-sim")) {
    test.skip("cuda-sim is not in this build", () => undefined);
    return;
  }
  const [hopper, ampere] = [90, 80].map((compute) => ops.create({ name: "cuda-sim", compute }));

  /** Simulated wgmma rounds otherwise than mma.sync, so the bits tell. */
  const isHoppers = (op: string, fields: Fields, aligned: boolean): boolean => {
    const [mine, other] = [hopper, ampere].map((backend) =>
      execute(backend as NativeBackend, op, fields, { dtype: "bfloat16", aligned }).results);
    return Object.keys(mine ?? {}).some((name) => !sameBits(mine?.[name], other?.[name]));
  };

  test.each([
    [64, 0, true], [128, 0, true], [40, 0, true], [64, 9, true], [128, 9, true], [32, 0, false], [44, 0, false],
    [136, 0, false],
  ])("cuda-sim: wgmma for D=%i window %i: %p", (d, window, wanted) => {
    // Gradients differ where bfloat16 just rounds to the other side: a few in 100,000.
    const groups = wanted ? [{ prompt: 200, answers: [100, 90] }] : [{ prompt: 90 }];
    for (const [op, fields] of bothWays(groups, d, window)) {
      expect([op, isHoppers(op, fields, true)]).toEqual([op, wanted]);
      expect([op, isHoppers(op, fields, false)]).toEqual([op, false]);
    }
  });

  // As on 8.9 and 12.0, a block has 99 KiB of shared memory.
  test.each([64, 128, 256])("cuda-sim of compute capability 8.6: D=%i", (d) => {
    const backend = ops.create({ name: "cuda-sim", compute: 86 });
    for (const [op, fields] of bothWays([{ prompt: 70, answers: [65, 3] }], d, 0)) {
      const { results: got } = execute(backend, op, fields, { dtype: "bfloat16", aligned: true });
      const { results: truth } = execute(reference, op, fields, { dtype: "float32" });
      const { results: inSameType } = execute(reference, op, fields, { dtype: "bfloat16" });
      for (const [name, wanted] of Object.entries(truth)) {
        const limit = errorLimit(wanted as Float64Array, inSameType[name] as Float64Array, Math.max(d, 138 * 3));
        expect(largestError(got[name] as Float64Array, wanted as Float64Array)).toBeLessThanOrEqual(limit);
      }
    }
  });
});
