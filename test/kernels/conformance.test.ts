// Every op on every backend of this build, in both storage types: the result against the reference, the same bits on a
// second run, with another number of threads, with frozen weights, where outputs may share memory with inputs and where
// indices lie in the backend's own memory, and nothing written outside of the outputs.
import { describe, expect, test } from "@jest/globals";
import { backends, missingBackends, ops, productBackends, reference, type BackendUnderTest } from "./support/backends";
import { makerOf, type OpCase } from "./support/case";
import { reals, type Real } from "./support/dtype";
import { execute, sameBits, type ExecuteOptions, type Outcome } from "./support/execute";
import { tensor, type Fields } from "./support/fields";
import { errorLimit, float64Limit, largestError } from "./support/tolerance";
import { opCases } from "./cases";

const byOp = new Map(ops.names.map((op) => [op, opCases.filter((opCase) => opCase.op === op)]));

/** The ops of a decode step, whose indices ops may write. */
const takesResident = new Set([
  "EmbeddingForward", "RopeForward", "KvCacheWrite", "AttentionDecode", "SampleTokens", "AdvanceSamples",
]);

/** A case in one storage type, with what the reference makes of it. */
interface Prepared {
  opCase: OpCase;
  dtype: Real;
  fields: Fields;
  options: ExecuteOptions;
  /** The same values (T holds them exactly) with every result in float32. */
  truth: Outcome;
  inSameType: Outcome;
}

let prepared: Prepared | undefined;

/** The last case is kept: all backends ask for it one after the other. */
function prepare(opCase: OpCase, dtype: Real): Prepared {
  if (prepared?.opCase === opCase && prepared.dtype === dtype) return prepared;
  const maker = makerOf(opCase.op, opCase.name, dtype);
  const fields = opCase.make(maker);
  const setup = opCase.setup?.(maker, fields) ?? [];
  const optionsFor = (type: Real): ExecuteOptions => ({ dtype: type, alias: opCase.sharing?.(type) ?? {}, setup });
  const truth = execute(reference, opCase.op, fields, optionsFor("float32"));
  const inSameType = execute(reference, opCase.op, fields, optionsFor(dtype));
  return (prepared = { opCase, dtype, fields, options: optionsFor(dtype), truth, inSameType });
}

/** Names and sizes of the results that are further from the truth than they may be. */
function tooFar({ opCase, fields, truth, inSameType }: Prepared, got: Outcome): string[] {
  return Object.entries(truth.results).flatMap(([name, wanted]) => {
    const field = tensor(fields, name);
    if (field.role === "scratch") return [];
    const terms = field.dtype === "int32" ? 0 : opCase.terms;
    const limit = field.dtype === "float64"
      ? float64Limit(wanted, terms)
      : errorLimit(wanted, inSameType.results[name] as Float64Array, terms);
    const error = largestError(got.results[name] as Float64Array, wanted);
    // A limit that is infinite would mean that the reference itself made NaN.
    return error <= limit && limit < Infinity ? [] : [`${name}: error ${error} > ${limit}`];
  });
}

/** Names of the results of `wanted` whose bits `got` does not repeat. */
function differing(got: Outcome, wanted: Outcome): string[] {
  return Object.keys(wanted.results).filter((name) => !sameBits(got.results[name], wanted.results[name]));
}

function checkCase(backend: BackendUnderTest, opCase: OpCase, dtype: Real): void {
  checkPlaced(backend, prepare(opCase, dtype), false);
  if (backend.isCuda) checkPlaced(backend, prepare(opCase, dtype), true);
}

function checkPlaced(backend: BackendUnderTest, wanted: Prepared, aligned: boolean): void {
  const { fields, opCase } = wanted;
  const options = { ...wanted.options, aligned };
  const run = (threads: number, alias = options.alias ?? {}): Outcome =>
    execute(backend.with(threads), opCase.op, fields, { ...options, alias });
  const first = run(1);
  expect(first.damage).toEqual([]);
  expect(tooFar(wanted, first)).toEqual([]);
  if (!backend.isCuda) expect(differing(run(1), first)).toEqual([]); // of its two backends either is as good
  expect(differing(run(2), first)).toEqual([]);
  if (opCase.frozen) {
    const packed = execute(backend.with(2), opCase.op, fields, { ...options, freeze: opCase.frozen });
    expect(packed.damage).toEqual([]);
    expect(tooFar(wanted, packed)).toEqual([]);
    // Hopper has other kernels for weights that are not frozen.
    if (!backend.isCuda || backend.isBeforeHopper) expect(differing(packed, first)).toEqual([]);
  }
  if (backend.isCuda && takesResident.has(opCase.op)) {
    const resident = execute(backend.with(1), opCase.op, fields, { ...options, resident: true });
    expect(resident.damage).toEqual([]);
    expect(differing(resident, first)).toEqual([]);
  }
  for (const alias of opCase.aliases ?? []) {
    const aliased = run(1, alias);
    expect(aliased.damage).toEqual([]);
    expect(differing(aliased, first)).toEqual([]);
  }
}

test("every op has cases", () => {
  expect([...byOp].filter(([, cases]) => cases.length === 0).map(([op]) => op)).toEqual([]);
  expect(opCases.filter(({ op }) => !ops.names.includes(op))).toEqual([]);
});

const hasProducts = (op: string): boolean => /^(Matmul|LmHead|Lora)/.test(op);

/** Hopper has kernels of its own for these ops alone; the others are the same on a GPU before it. */
const hasHopperKernels = (op: string): boolean => hasProducts(op) || /^Attention(Forward|Backward)/.test(op);

describe.each([...byOp.keys()])("%s", (op) => {
  const all = hasProducts(op) ? productBackends : backends;
  const tested = all.filter(({ isBeforeHopper }) => !isBeforeHopper || hasHopperKernels(op));
  describe.each(reals)("%s", (dtype) => {
    for (const opCase of byOp.get(op) ?? []) {
      test.each(tested)(`${opCase.name} on $label`, (backend) => checkCase(backend, opCase, dtype));
    }
  });
});

for (const name of missingBackends) {
  describe(name, () => {
    test.skip(`${name} is not in this build`, () => undefined);
  });
}
