// Linear layers through cuBLASLt, for which a library of the same interface stands in: layouts, transposes, bias, what
// is added, and which products go to it at all. It is built beside the simulated CUDA backend, which loads it by path.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { ops, reference, type NativeBackend } from "./support/backends";
import { reals } from "./support/dtype";
import { execute, sameBits, type ExecuteOptions } from "./support/execute";
import { Maker, tensor, type Fields } from "./support/fields";
import { errorLimit, largestError } from "./support/tolerance";

const addon = process.env["SELFREFINE_ADDON"] ?? join(__dirname, "../../build/Release/selfrefine.node");
const library = join(dirname(addon), "libselfrefine_cublaslt_sim.so");
const isBuilt = ops.backends().includes("cuda-sim") && existsSync(library);

const [rows, i, o] = [264, 24, 40] as const;

type Make = (m: Maker) => Fields;

const layer: Make = (m) => ({
  out: m.output([rows, o]), x: m.real([rows, i]), weight: m.real([o, i], 1 / Math.sqrt(i)),
});

interface Case {
  name: string;
  op: string;
  make: Make;
  alias?: Record<string, string>;
}

const cases: Case[] = [
  { name: "forward", op: "MatmulForward", make: layer },
  { name: "forward with bias", op: "MatmulForward", make: (m) => ({ ...layer(m), bias: m.real([o]) }) },
  { name: "forward with residual", op: "MatmulForward", make: (m) => ({ ...layer(m), residual: m.real([rows, o]) }) },
  {
    name: "forward with bias and residual in place", op: "MatmulForward", alias: { out: "residual" },
    make: (m) => ({ ...layer(m), bias: m.real([o]), residual: m.real([rows, o]) }),
  },
  { name: "logits", op: "MatmulForward", make: (m) => ({ ...layer(m), out: m.output([rows, o], "float32") }) },
  {
    name: "logits with residual", op: "MatmulForward",
    make: (m) => ({ ...layer(m), out: m.output([rows, o], "float32"), residual: m.float([rows, o]) }),
  },
  {
    name: "input gradient", op: "MatmulBackwardInput",
    make: (m) => ({ dx: m.output([rows, i]), dout: m.real([rows, o]), weight: m.real([o, i]), accumulate: false }),
  },
  {
    name: "added input gradient", op: "MatmulBackwardInput",
    make: (m) => ({ dx: m.inPlace([rows, i]), dout: m.real([rows, o]), weight: m.real([o, i]), accumulate: true }),
  },
  {
    name: "weight gradient", op: "MatmulBackwardWeight",
    make: (m) => ({
      dweight: m.accumulated([o, i]), dbias: m.accumulated([o]), dout: m.real([rows, o]), x: m.real([rows, i]),
    }),
  },
];

function forwardOf(m: Maker, n: number): Fields {
  return { out: m.output([n, o], "float32"), x: m.real([n, 512]), weight: m.real([o, 512]) };
}

function out(backend: NativeBackend, fields: Fields): Float64Array {
  return execute(backend, "MatmulForward", fields, { dtype: "float32", aligned: true }).results["out"] as Float64Array;
}

describe("cuBLASLt", () => {
  if (!isBuilt) {
    test.skip("the simulated library is not in this build", () => undefined);
    return;
  }
  const withLibrary = ops.create({ name: "cuda-sim", cublaslt: library });
  const without = ops.create({ name: "cuda-sim", cublaslt: "off" });

  /** The same sums in another order differ in some bits: how the tests see who computed. */
  const isByLibrary = (op: string, fields: Fields, options: ExecuteOptions): boolean => {
    const [mine, other] = [without, withLibrary].map((backend) => execute(backend, op, fields, options).results);
    return Object.keys(mine ?? {}).some((name) => !sameBits(mine?.[name], other?.[name]));
  };

  test("the backend says whether it has the library", () => {
    expect(withLibrary.description).toMatch(/, cuBLASLt 13\.1\.0$/);
    expect(without.description).not.toMatch(/cuBLASLt/);
  });

  describe.each(reals)("%s", (dtype) => {
    test.each(cases)("$name", ({ op, make, alias = {} }) => {
      const fields = make(new Maker(dtype, 7));
      const truth = execute(reference, op, fields, { dtype: "float32" });
      const inSameType = execute(reference, op, fields, { dtype });
      if (dtype === "float32") expect(isByLibrary(op, fields, { dtype, alias, aligned: true })).toBe(true);
      for (const aligned of [true, false]) {
        const { results, damage } = execute(withLibrary, op, fields, { dtype, alias, aligned });
        expect(damage).toEqual([]);
        for (const [name, wanted] of Object.entries(truth.results)) {
          const limit = errorLimit(wanted, inSameType.results[name] as Float64Array, rows);
          expect(largestError(results[name] as Float64Array, wanted)).toBeLessThanOrEqual(limit);
        }
      }
    });
  });

  describe("is not asked for", () => {
    const forward = (n: number, width: number): Fields => {
      const m = new Maker("float32", 3);
      return { out: m.output([n, o], "float32"), x: m.real([n, width]), weight: m.real([o, width]) };
    };
    const options: ExecuteOptions = { dtype: "float32", aligned: true };

    test.each([1, 256])("but for all else, of %i rows too", (n) => {
      expect(isByLibrary("MatmulForward", forward(n, 512), options)).toBe(true);
    });

    test.each([
      ["frozen weights", forward(256, 512), { ...options, freeze: ["weight"] }],
      ["rows that 16 bytes do not divide", forward(256, 510), options],
      ["unaligned tensors", forward(256, 512), { dtype: "float32" }],
    ] satisfies [string, Fields, ExecuteOptions][])("%s", (_, fields, how) => {
      expect(isByLibrary("MatmulForward", fields, how)).toBe(false);
    });
  });

  test("a row has the same bits whatever the number of rows", () => {
    const all = forwardOf(new Maker("float32", 5), 200);
    const x = { ...tensor(all, "x"), shape: [3, 512], values: tensor(all, "x").values.slice(0, 3 * 512) };
    const few = { ...all, out: new Maker("float32", 5).output([3, o]), x };
    expect(out(withLibrary, few)).toEqual(out(withLibrary, all).slice(0, 3 * o));
  });

  describe("the choice of an algorithm", () => {
    const folder = mkdtempSync(join(tmpdir(), "selfrefine-cublaslt-"));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const fields = forwardOf(new Maker("float32", 6), 16);
    const withChoices = (path: string): NativeBackend =>
      ops.create({ name: "cuda-sim", cublaslt: library, cublasltChoices: path });
    const kind = new RegExp(`^nt-${o}-512-float32-float32 ([0-9a-f]{128})$`, "m");

    test("is remembered in a file, and what the file says is done", () => {
      const path = join(folder, "new/choices.txt");
      const first = out(withChoices(path), fields);
      const text = readFileSync(path, "utf8");
      const algorithm = kind.exec(text)?.[1] ?? "";
      expect(text).toMatch(/^simulated GPU.*, cuBLASLt 13\.1\.0\n/);
      expect(algorithm.slice(0, 31)).toBe("0000000000005e1f000000000000000");
      expect(out(withChoices(path), fields)).toEqual(first);

      const other = algorithm.slice(0, 31) + (algorithm[31] === "0" ? "1" : "0") + algorithm.slice(32);
      writeFileSync(path, text.replace(algorithm, other));
      expect(out(withChoices(path), fields)).not.toEqual(first);
      expect(readFileSync(path, "utf8")).toContain(other);
    });

    test.each([
      ["damaged", "simulated GPU, cuBLASLt 13.1.0\nnt-40-512-float32-float32 zz\nnonsense\n"],
      ["of another GPU", `another GPU, cuBLASLt 13.1.0\nnt-${o}-512-float32-float32 ${"f".repeat(128)}\n`],
    ])("a file that is %s is made anew", (name, content) => {
      const path = join(folder, `${name}.txt`);
      writeFileSync(path, content);
      expect(out(withChoices(path), fields)).toHaveLength(16 * o);
      expect(readFileSync(path, "utf8")).toMatch(kind);
    });

    test("is the library's first where no file can be written", () => {
      expect(out(withChoices("/proc/nowhere/choices.txt"), fields)).toEqual(out(withChoices("off"), fields));
    });
  });

  test.each([
    ["/nowhere/libcublasLt.so.13", /^SELFREFINE_CUBLASLT=\/nowhere\/libcublasLt.so.13: it cannot be opened:.*"off"/s],
    [join(dirname(addon), "libselfrefine_cuda_sim.so"), /: it has no function cublasLtCreate;/],
  ])("a wrong path is an error: %s", (path, message) => {
    const make = (): unknown => ops.create({ name: "cuda-sim", cublaslt: path });
    expect(make).toThrow(expect.objectContaining({ code: "ERR_CUDA", message: expect.stringMatching(message) }));
  });
});
