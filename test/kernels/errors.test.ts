// Bad input to an op is an error with a code and a message that names op and field, on every backend, and leaves the
// backend usable: tensors of the wrong rank, type or size, indices out of range, options out of range.
import { describe, expect, test } from "@jest/globals";
import { backends, ops, type BackendUnderTest } from "./support/backends";
import { makerOf, type OpCase } from "./support/case";
import type { Real } from "./support/dtype";
import { execute } from "./support/execute";
import { isTensor, Maker, tensor, type Fields, type TensorValue } from "./support/fields";
import { opCases } from "./cases";
import { attentionFields, layoutOf } from "./cases/attention";
import { decodeFields } from "./cases/kv-cache";
import { preferenceFields } from "./cases/preference";
import { samplingFields } from "./cases/sampling";

interface Thrown {
  code?: string;
  message: string;
}

function thrownBy(backend: BackendUnderTest, op: string, fields: Fields, dtype: Real = "float32"): Thrown {
  try {
    execute(backend.with(2), op, fields, { dtype });
  } catch (error) {
    return error as Thrown;
  }
  return { message: "nothing was thrown" };
}

/** The op's name in messages: RmsNormForward is rmsnorm_forward. */
const prefix = (op: string): RegExp =>
  new RegExp(`^${op.replace("RmsNorm", "Rmsnorm").replace("AdamW", "Adamw").replace(/(?<=.)[A-Z]/g, "_$&")}`, "i");

/** The first case of the op whose tensors are not empty. */
function plainCase(op: string): OpCase {
  const found = opCases.find((opCase) => opCase.op === op && Object.values(fieldsOf(opCase)).every((field) =>
    !isTensor(field) || field.values.length > 0));
  if (!found) throw new Error(`${op} has no case without empty tensors`);
  return found;
}

const fieldsOf = ({ op, name, make }: OpCase): Fields => make(makerOf(op, name, "float32"));

/** Every tensor field of every op. */
const tensorFields = ops.names.flatMap((op) => {
  const fields = fieldsOf(plainCase(op));
  return Object.keys(fields).filter((name) => isTensor(fields[name])).map((field) => ({ op, field, fields }));
});

const otherRank = (value: TensorValue): TensorValue =>
  ({ ...value, shape: value.shape.length === 1 ? [value.shape[0] as number, 1] : [value.values.length] });

const otherType = (value: TensorValue): TensorValue =>
  ({ ...value, dtype: value.dtype === "int32" ? "float32" : "int32", values: new Float64Array(value.values.length) });

/** int32 [...] of a valid call with one element replaced. */
function withElement(fields: Fields, name: string, index: number, value: number): Fields {
  const old = tensor(fields, name);
  return { ...fields, [name]: { ...old, values: old.values.map((v, i) => (i === index ? value : v)) } };
}

const m = new Maker("float32", 1);
const layout = layoutOf([{ prompt: 4, answers: [2, 3] }, { prompt: 5 }]);
const heads = { h: 4, k: 2, d: 8 };
const attention = attentionFields(m, layout, heads, 0);
const backward = {
  ...attention, dqkv: m.output([14, 8, 8]), dout: m.real([14, 4, 8]), out: m.real([14, 4, 8]), lse: m.float([14, 4]),
};
const decode = decodeFields(m, { ...heads, pages: 5, pageSize: 4 }, [7, 1, 12], 0);
const caches = { k_cache: tensor(decode, "k_cache"), v_cache: tensor(decode, "v_cache") };
const write: Fields = { ...caches, qkv: m.real([3, 8, 8]), slots: m.ints([19, -1, 0]), num_heads: 4 };
const embedding: Fields = { out: m.output([3, 2]), weight: m.real([5, 2]), tokens: m.ints([4, 0, 2]) };
const scatterEmbedding: Fields = { dweight: m.accumulated([5, 2]), dout: m.real([3, 2]), tokens: m.ints([4, 0, 2]) };
const gather: Fields = { out: m.output([3, 2]), x: m.real([5, 2]), rows: m.ints([0, 2, 4]) };
const scatter: Fields = { out: m.output([5, 2]), x: m.real([3, 2]), rows: m.ints([0, 2, 4]) };
const head: Fields = {
  logps: m.output([2], "float32"), x: m.real([2, 3]), weight: m.real([5, 3]), targets: m.ints([4, 0]),
};
const loss: Fields = {
  ...head, dx: m.output([2, 3]), dweight: m.accumulated([5, 3]), dlogps: m.float([2]), chunk_ends: [1, 2],
};
const preference = preferenceFields(m, { kind: "sigmoid" }, [0, 5]);
const sample = samplingFields(m, 3, 9, {});
const headNorm = fieldsOf(plainCase("HeadNormForward"));
const rope = fieldsOf(plainCase("RopeForward"));
const adamw = fieldsOf(plainCase("AdamWStep"));
const stochastic = fieldsOf(plainCase("AdamWStochasticStep"));
const lora = fieldsOf(plainCase("LoraForward"));
const copyPage: Fields = { ...caches, from: 0, to: 1 };

interface BadCall {
  op: string;
  fields: Fields;
  code: "ERR_INVALID_ARGUMENT" | "ERR_SHAPE";
  says: RegExp;
  dtype?: Real;
}

const invalid = (op: string, fields: Fields, says: RegExp): BadCall => ({ op, fields, code: "ERR_INVALID_ARGUMENT", says });
const shape = (op: string, fields: Fields, says: RegExp): BadCall => ({ op, fields, code: "ERR_SHAPE", says });

/** Indices that would read or write outside of a tensor. */
const badIndices: BadCall[] = [
  ...[-1, 5, 2147483647, -2147483648].flatMap((bad) => [
    invalid("EmbeddingForward", withElement(embedding, "tokens", 1, bad), /tokens\[1\] is .*\[0, 5\)/),
    invalid("EmbeddingBackward", withElement(scatterEmbedding, "tokens", 2, bad), /tokens\[2\] is /),
    invalid("GatherRows", withElement(gather, "rows", 2, bad), /rows\[2\] is /),
    invalid("ScatterRows", withElement(scatter, "rows", 2, bad), /rows\[2\] is /),
    invalid("LmHeadForward", withElement(head, "targets", 0, bad), /targets\[0\] is /),
    invalid("LmHeadLoss", withElement(loss, "targets", 1, bad), /targets\[1\] is /),
    invalid("AttentionDecode", withElement(decode, "page_table", 1, bad), /page_table\[0, 1\] is /),
  ]),
  invalid("LmHeadForward", withElement(head, "targets", 0, -100), /targets\[0\] is -100/),
  shape("LmHeadLoss", { ...loss, metrics: m.output([2, 2], "float32") }, /metrics is \(2, 2\).*expected \(2, 3\)/),
  invalid("GatherRows", withElement(gather, "rows", 1, 0), /rows\[1\] is 0, expected more than 0/),
  invalid("ScatterRows", withElement(scatter, "rows", 1, 4), /rows\[2\] is 4, expected more than 4/),
  ...[20, -2, 2147483647].map((bad) => invalid("KvCacheWrite", withElement(write, "slots", 1, bad), /slots\[1\] is /)),
  ...[-1, 13].map((bad) => invalid("AttentionDecode", withElement(decode, "lengths", 2, bad), /lengths\[2\] is /)),
  invalid("KvCacheCopyPage", { ...copyPage, from: 5 }, /page/),
  invalid("KvCacheCopyPage", { ...copyPage, to: -1 }, /page/),
  invalid("PreferenceLoss", withElement(preference, "sequence_ends", 9, 100000), /sequence_ends\[9\] is /),
  invalid("PreferenceLoss", withElement(preference, "sequence_ends", 0, 0), /sequence_ends\[0\] is 0/),
  invalid("PreferenceLoss", withElement(preference, "sequence_ends", 3, 14), /sequence_ends\[3\] is 14/),
];

/** [segment, column, value] that break the list 0-4, 4-6 and 6-9 with prefix 0-4, 9-14. */
const brokenSegments: [number, number, number][] = [
  [0, 0, 1], [0, 0, -1], [1, 0, 5], [1, 0, 3], [1, 1, 4], [1, 1, 3], [1, 1, 7], [3, 1, 13], [3, 1, 15],
  [3, 1, 2147483647],
  [1, 2, 1], [1, 3, 3], [1, 3, 5], [2, 2, 4], [2, 3, 100], [1, 2, -4], [3, 3, 5], [3, 3, 14], [0, 3, 4], [0, 2, -1],
];
const says = /segments(\[\d\] is rows|\[\d\] has prefix| cover)/;
const badSegments: BadCall[] = brokenSegments.flatMap(([segment, column, value]) => [
  invalid("AttentionForward", withElement(attention, "segments", 4 * segment + column, value), says),
  invalid("AttentionBackward", withElement(backward, "segments", 4 * segment + column, value), says),
]);

const badOptions: BadCall[] = [
  invalid("AttentionForward", { ...attention, num_heads: 3 }, /num_heads/),
  invalid("AttentionForward", { ...attention, num_kv_heads: 0 }, /num_heads/),
  invalid("AttentionForward", { ...attention, window: -1 }, /window/),
  invalid("AttentionDecode", { ...decode, num_heads: 0 }, /num_heads/),
  shape("AttentionDecode", { ...decode, num_heads: 3 }, /qkv is /),
  invalid("KvCacheWrite", { ...write, num_heads: -4 }, /num_heads/),
  shape("HeadNormForward", { ...headNorm, num_heads: 7 }, /x is .*expected/),
  shape("RopeForward", { ...rope, num_kv_heads: 9 }, /qkv is .*expected/),
  ...[[1], [2, 1, 2], [1, 3], [0, 2], []].map((chunk_ends) =>
    invalid("LmHeadLoss", { ...loss, chunk_ends }, /chunk_ends/)),
  ...[0, -1, NaN].map((beta) => invalid("PreferenceLoss", { ...preference, beta }, /beta/)),
  ...[-0.1, 0.5, NaN].map((s) => invalid("PreferenceLoss", { ...preference, label_smoothing: s }, /label_smoothing/)),
  invalid("PreferenceLoss", { ...preference, kind: 2, label_smoothing: 0.1 }, /label_smoothing/),
  invalid("PreferenceLoss", { ...preference, kind: 4 }, /kind/),
  ...[[-1, 2], [3, 2], [0, 6]].map(([pair_begin = 0, pair_end = 0]) =>
    invalid("PreferenceLoss", { ...preference, pair_begin, pair_end }, /pair range/)),
  ...[-0.1, NaN].map((temperature) => invalid("SampleTokens", { ...sample, temperature }, /temperature/)),
  invalid("SampleTokens", { ...sample, top_k: -1 }, /top_k/),
  ...[0, 1.1, -1, NaN].map((top_p) => invalid("SampleTokens", { ...sample, top_p }, /top_p/)),
  ...[-0.1, 1, NaN].map((min_p) => invalid("SampleTokens", { ...sample, min_p }, /min_p/)),
  ...[0, -3].map((step): BadCall => ({
    ...invalid("AdamWStep", { ...adamw, step }, /step is counted from 1/), dtype: "bfloat16",
  })),
  ...[0, 2 ** 32].map((step) => invalid("AdamWStochasticStep", { ...stochastic, step }, /step is counted from 1/)),
  ...[-32, 16].map((first) => invalid("AdamWStochasticStep", { ...stochastic, first }, /first is a multiple of 32/)),
  invalid("AdamWStep", adamw, /parameter must be the memory of master/),
  invalid("HeadNormForward", { ...headNorm, out: tensor(headNorm, "x") }, /out must not be the memory of x/),
  invalid("LoraForward", { ...lora, residual: tensor(lora, "out") }, /residual must not be the memory of out/),
  ...[[], [0], [0, 0], [1, 2, 0, 1], [0, 2], [-1, 0]].map((blocks) =>
    invalid("LoraForward", { ...lora, blocks }, /blocks must/)),
];

describe.each(backends)("$label", (backend) => {
  test.each(tensorFields)("$op: $field of another rank or type, or none", ({ op, field, fields }) => {
    const value = tensor(fields, field);
    for (const wrong of [otherRank(value), otherType(value)]) {
      const { code, message } = thrownBy(backend, op, { ...fields, [field]: wrong });
      expect(code).toMatch(/^ERR_(SHAPE|INVALID_ARGUMENT)$/);
      expect(message).toMatch(field);
      expect(message).toMatch(prefix(op));
    }
  });

  test.each([...badIndices, ...badSegments, ...badOptions])("bad call %#, $op: $says", ({ op, fields, code, says, dtype }) => {
    const thrown = thrownBy(backend, op, fields, dtype);
    expect(thrown).toMatchObject({ code, message: expect.stringMatching(says) });
    expect(thrown.message).toMatch(prefix(op));
  });

  test("the calls that were broken above are right without the fault", () => {
    const calls: [string, Fields][] = [
      ["EmbeddingForward", embedding], ["EmbeddingBackward", scatterEmbedding], ["GatherRows", gather],
      ["ScatterRows", scatter], ["LmHeadForward", head], ["LmHeadLoss", loss], ["AttentionForward", attention],
      ["AttentionBackward", backward], ["AttentionDecode", decode], ["KvCacheWrite", write], ["SampleTokens", sample],
      ["KvCacheCopyPage", copyPage], ["PreferenceLoss", preference], ["HeadNormForward", headNorm], ["RopeForward", rope],
    ];
    for (const [op, fields] of calls) expect([op, thrownBy(backend, op, fields).message]).toEqual([op, "nothing was thrown"]);
  });
});

describe("the binding of ops", () => {
  const run = (op: string, fields: Fields): Thrown => thrownBy(backends[0] as BackendUnderTest, op, fields);

  test("an unknown op, field or backend is named", () => {
    expect(run("Nonsense", {})).toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: '"Nonsense" is not an op' });
    expect(run("GatherRows", { ...gather, y: 1 })).toMatchObject({ message: "GatherRows: y is not a field" });
    expect(() => ops.create({ name: "tpu" })).toThrow(/"tpu" is not in this build, expected one of .*reference/);
  });

  const withCpu = ops.backends().includes("cpu") ? test : test.skip;

  withCpu("an instruction set that is unknown or not this processor's is refused, with the ones that are", () => {
    const create = (isa: string) => (): unknown => ops.create({ name: "cpu", isa });
    expect(create("sse9")).toThrow(/SELFREFINE_CPU_ISA=sse9 is not an instruction set, expected one of portable/);
    const foreign = ["neon", "avx512_bf16"].find((isa) => !ops.cpuIsas().includes(isa)) ?? "neon";
    expect(create(foreign)).toThrow(/this processor cannot run it, it can run portable/);
  });

  withCpu("a number of threads that makes no sense is refused", () => {
    expect(() => ops.create({ name: "cpu", threads: -1 })).toThrow(/threads/);
    expect(() => ops.create({ name: "cpu", threads: 1.5 })).toThrow(/threads is 1.5, expected an integer/);
  });

  test("a tensor larger than its memory is refused", () => {
    const liar = { ...tensor(gather, "x"), shape: [1000, 2] };
    expect(run("GatherRows", { ...gather, x: liar })).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(run("GatherRows", { ...gather, x: liar }).message).toMatch(/x is .*, but its data has only 40 bytes/);
    const huge = { ...tensor(gather, "x"), shape: [2 ** 40, 2 ** 40] };
    expect(run("GatherRows", { ...gather, x: huge })).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });
});
