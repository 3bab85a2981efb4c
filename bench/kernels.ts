// Times each op family on the shapes of a model against its limit: arithmetic peak for what multiplies matrices, memory
// bandwidth for what only moves data. The limit is sampled just before each timing, so the fraction holds on a machine
// whose speed drifts. On a GPU data of less than its cache (50 MB) may beat the bandwidth: take enough rows.
// Correctness is the conformance suite's business.
import { nativeAddon, type Device, type DType, type ModelConfig } from "../src/native";
import type { Machine } from "./machine";
import { median, round } from "./statistics";

interface TensorArgument {
  data: Float32Array | Uint16Array | Int32Array | Float64Array;
  dtype: string;
  shape: number[];
}

interface OpBackend {
  /** Runs the op once to warm up, then `runs` times; seconds of one of these. */
  time(op: string, fields: Record<string, unknown>, runs: number): number;
}

interface OpsAddon {
  ops: { create(options: { name: string; threads: number }): OpBackend };
}

export interface KernelResult {
  op: string;
  shape: string;
  dtype: DType;
  median_ms: number;
  /** Operations or bytes a second. */
  rate: number;
  limit: "flops" | "bandwidth";
  /** Of the limit, sampled just before. */
  fraction: number;
}

interface KernelCase {
  op: string;
  shape: string;
  fields: Record<string, unknown>;
  /** Work of one run: floating-point operations, or bytes read and written. */
  flops?: number;
  bytes?: number;
  /** Fields whose absence leaves out what is timed: the time without them is taken off. */
  less?: string[];
}

const ROUNDS = 7;

/** Fills `data` with a pattern again and again: arrays of a vocabulary are too long for a call an element. */
function repeat<A extends Float32Array | Uint16Array>(data: A, period: number, at: (i: number) => number): A {
  for (let i = 0; i < Math.min(period, data.length); i++) data[i] = at(i);
  for (let done = period; done < data.length; done *= 2) data.copyWithin(done, 0, Math.min(done, data.length - done));
  return data;
}

class Tensors {
  constructor(readonly dtype: DType) {}

  get width(): number {
    return this.dtype === "float32" ? 4 : 2;
  }

  real(...shape: number[]): TensorArgument {
    const n = shape.reduce((a, b) => a * b, 1);
    if (this.dtype === "bfloat16") {
      // Upper halves of floats around 1/2 of both signs: values do not matter, infinities and denormals would.
      const bits = (i: number) => 0x3f00 | (i * 37 & 0x7f) | (i & 1) << 15;
      return { data: repeat(new Uint16Array(n), 128, bits), dtype: "bfloat16", shape };
    }
    const value = (i: number) => ((i * 37) % 101) / 101 - 0.5;
    return { data: repeat(new Float32Array(n), 101, value), dtype: "float32", shape };
  }

  /** What squares are averaged to: positive. */
  squares(n: number): TensorArgument {
    const data = this.dtype === "bfloat16" ? new Uint16Array(n).fill(0x3dcd) : new Float32Array(n).fill(0.1);
    return { data, dtype: this.dtype, shape: [n] };
  }

  f32(...shape: number[]): TensorArgument {
    return new Tensors("float32").real(...shape);
  }

  i32(values: number[], ...shape: number[]): TensorArgument {
    return { data: Int32Array.from(values), dtype: "int32", shape: shape.length > 0 ? shape : [values.length] };
  }
}

/** Sequence length of attention, the usual one of the training benches. */
const SEQUENCE = 256;

function matmulCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const qkv = (c.numAttentionHeads + 2 * c.numKeyValueHeads) * c.headDim;
  const shapes: [number, number][] = [
    [c.hiddenSize, qkv], [c.hiddenSize, 2 * c.intermediateSize], [c.intermediateSize, c.hiddenSize],
  ];
  return shapes.flatMap(([i, o]) => {
    const [x, weight, out] = [t.real(n, i), t.real(o, i), t.real(n, o)];
    const common = { shape: `${n}x${i}x${o}`, flops: 2 * n * i * o };
    return [
      { op: "MatmulForward", fields: { out, x, weight }, ...common },
      { op: "MatmulBackwardInput", fields: { dx: x, dout: out, weight }, ...common },
      { op: "MatmulBackwardWeight", fields: { dweight: t.f32(o, i), dout: out, x }, ...common },
    ];
  });
}

function attentionCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [h, k, d] = [c.numAttentionHeads, c.numKeyValueHeads, c.headDim];
  const sequences = Math.floor(n / SEQUENCE);
  const rows = sequences * SEQUENCE;
  const segments = Array.from({ length: sequences }, (_, s) => [s * SEQUENCE, (s + 1) * SEQUENCE, 0, 0]).flat();
  const common = {
    lse: t.f32(rows, h), qkv: t.real(rows, h + 2 * k, d), segments: t.i32(segments, sequences, 4),
    positions: t.i32(Array.from({ length: rows }, (_, row) => row % SEQUENCE)),
    num_heads: h, num_kv_heads: k, scale: 1 / Math.sqrt(d), window: 0,
  };
  const flops = 4 * rows * h * d * (SEQUENCE / 2);
  const shape = `${sequences}x${SEQUENCE} h${h}/${k} d${d}`;
  const out = t.real(rows, h, d);
  return [
    { op: "AttentionForward", shape, fields: { out, ...common }, flops },
    {
      op: "AttentionBackward", shape, flops: 2.5 * flops,
      fields: { dqkv: t.real(rows, h + 2 * k, d), dout: t.real(rows, h, d), out, ...common },
    },
  ];
}

/** Norms of heads as Qwen3 has them, whatever the model; backward in place, as in training. */
function headNormCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [normed, d] = [c.numAttentionHeads + c.numKeyValueHeads, c.headDim];
  const heads = normed + c.numKeyValueHeads;
  const common = {
    x: t.real(n, heads, d), rstd: t.f32(n, normed), q_weight: t.real(d), k_weight: t.real(d),
    num_heads: c.numAttentionHeads, num_kv_heads: c.numKeyValueHeads,
  };
  const [shape, dx] = [`${n}x${heads}x${d}`, t.real(n, heads, d)];
  return [
    {
      op: "HeadNormForward", shape, bytes: 2 * n * heads * d * t.width,
      fields: { out: t.real(n, heads, d), ...common, eps: 1e-5 },
    },
    {
      op: "HeadNormBackward", shape, bytes: 3 * n * normed * d * t.width,
      fields: { dx, dq_weight: t.f32(d), dk_weight: t.f32(d), dout: dx, ...common },
    },
  ];
}

/** Moves of whole rows. Tokens are as frequent as words: the k-th most frequent about 1 / k as often as the first. */
function rowCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [C, V, w] = [c.hiddenSize, c.vocabSize, t.width];
  const drawn = Array.from({ length: n }, (_, row) => Math.floor(V ** ((row * 0.6180339887) % 1)) - 1);
  const [tokens, different] = [t.i32(drawn), new Set(drawn).size];
  const half = Math.ceil(n / 2);
  const [few, all] = [t.real(half, C), t.real(n, C)];
  const rows = t.i32(Array.from({ length: half }, (_, i) => 2 * i));
  return [
    {
      op: "EmbeddingForward", shape: `${n}x${C}x${V}`, bytes: (n + different) * C * w,
      fields: { out: all, weight: t.real(V, C), tokens },
    },
    {
      // The host makes lists of rows: where that takes longer than the GPU, this is its time.
      op: "EmbeddingBackward", shape: `${n}x${C}x${V}`, bytes: (n * w + different * 8) * C,
      fields: { dweight: t.f32(V, C), dout: all, tokens },
    },
    { op: "GatherRows", shape: `${half} of ${n}x${C}`, bytes: 2 * half * C * w, fields: { out: few, x: all, rows } },
    { op: "ScatterRows", shape: `${half} to ${n}x${C}`, bytes: (half + n) * C * w, fields: { out: all, x: few, rows } },
  ];
}

/** The sum over rows that a bias takes, beside a small product. */
function biasCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [qkv, inputs] = [(c.numAttentionHeads + 2 * c.numKeyValueHeads) * c.headDim, 64];
  return [{
    op: "MatmulBackwardWeight", shape: `${n}x${qkv} dbias alone`, bytes: n * qkv * t.width, less: ["dbias"],
    fields: { dweight: t.f32(qkv, inputs), dbias: t.f32(qkv), dout: t.real(n, qkv), x: t.real(n, inputs) },
  }];
}

function movementCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [C, F, w] = [c.hiddenSize, c.intermediateSize, t.width];
  const heads = c.numAttentionHeads + 2 * c.numKeyValueHeads;
  const norm = { x: t.real(n, C), rstd: t.f32(n), weight: t.real(C) };
  const turn = {
    positions: t.i32(Array.from({ length: n }, (_, row) => row % SEQUENCE)), inv_freq: t.f32(c.headDim / 2),
    num_heads: c.numAttentionHeads, num_kv_heads: c.numKeyValueHeads, interleaved: false,
  };
  const turned = (n * (c.numAttentionHeads + c.numKeyValueHeads) * c.headDim * w) * 2;
  return [
    {
      op: "RmsNormForward", shape: `${n}x${C}`, bytes: 2 * n * C * w,
      fields: { out: t.real(n, C), ...norm, eps: 1e-5 },
    },
    {
      op: "RmsNormBackward", shape: `${n}x${C}`, bytes: 4 * n * C * w,
      fields: { dx: t.real(n, C), dweight: t.f32(C), dout: t.real(n, C), dresidual: t.real(n, C), ...norm },
    },
    {
      op: "RopeForward", shape: `${n}x${heads}x${c.headDim}`, bytes: turned,
      fields: { qkv: t.real(n, heads, c.headDim), ...turn },
    },
    {
      op: "SwigluForward", shape: `${n}x${F}`, bytes: 3 * n * F * w,
      fields: { out: t.real(n, F), gate_up: t.real(n, 2 * F) },
    },
    {
      op: "SwigluBackward", shape: `${n}x${F}`, bytes: 5 * n * F * w,
      fields: { dgate_up: t.real(n, 2 * F), dout: t.real(n, F), gate_up: t.real(n, 2 * F) },
    },
  ];
}

/** Of the loss head's pass over them: more than any cache holds. */
const MOST_LOGITS = 2 ** 26;

function headCases(t: Tensors, c: ModelConfig, n: number): KernelCase[] {
  const [C, V] = [c.hiddenSize, c.vocabSize];
  const targets = t.i32(Array.from({ length: n }, (_, row) => (row * 7919) % V));
  const common = { logps: t.f32(n), x: t.real(n, C), weight: t.real(V, C), targets };
  const ends = Array.from({ length: Math.ceil(n / 512) }, (_, i) => Math.min(n, 512 * (i + 1)));
  const flops = 2 * n * C * V;
  const rows = Math.max(1, Math.min(n, Math.floor(MOST_LOGITS / V)));
  const logits = t.f32(rows, V);
  return [
    {
      op: "LmHeadRows", shape: `${rows}x${V}`, bytes: rows * V * (4 + t.width),
      fields: {
        logps: t.f32(rows), metrics: t.f32(rows, 3), dlogits: t.dtype === "float32" ? logits : t.real(rows, V), logits,
        targets: t.i32(Array.from({ length: rows }, (_, row) => (row * 7919) % V)),
      },
    },
    { op: "LmHeadForward", shape: `${n}x${C}x${V}`, fields: common, flops },
    {
      op: "LmHeadLoss", shape: `${n}x${C}x${V}`, flops: 3 * flops,
      fields: {
        ...common, metrics: t.f32(n, 3), dx: t.real(n, C), dweight: t.f32(V, C), dlogps: t.f32(n), chunk_ends: ends,
      },
    },
  ];
}

/** Positions that each sequence of the decode cases has cached. */
const CONTEXT = 512;
const PAGE = 16;

function decodeCases(t: Tensors, c: ModelConfig, rows: number): KernelCase[] {
  const [h, k, d] = [c.numAttentionHeads, c.numKeyValueHeads, c.headDim];
  const b = Math.max(1, Math.floor(rows / 64));
  const pages = b * (CONTEXT / PAGE);
  const cache = { k_cache: t.real(pages, k, PAGE, d), v_cache: t.real(pages, k, PAGE, d) };
  const keys = Array.from({ length: b }, (_, row) => [row, 0, row]).flat();
  return [
    {
      op: "AttentionDecode", shape: `${b}x${CONTEXT} h${h}/${k} d${d}`, bytes: 2 * b * CONTEXT * k * d * t.width,
      fields: {
        out: t.real(b, h, d), qkv: t.real(b, h + 2 * k, d), ...cache,
        page_table: t.i32(Array.from({ length: pages }, (_, i) => i), b, CONTEXT / PAGE),
        lengths: t.i32(Array<number>(b).fill(CONTEXT)), num_heads: h, scale: 1 / Math.sqrt(d), window: 0,
      },
    },
    ...[{}, { top_p: 0.95 }].map((filter) => ({
      op: "SampleTokens", shape: `${b}x${c.vocabSize}${"top_p" in filter ? " top_p" : ""}`, bytes: 4 * b * c.vocabSize,
      fields: {
        tokens: t.i32(Array<number>(b).fill(0)), logps: t.f32(b), logits: t.f32(b, c.vocabSize),
        keys: t.i32(keys, b, 3), seed: 1, ...filter,
      },
    })),
  ];
}

/** Elements of the optimizer's cases: well beyond the last-level cache but on a simulated GPU. */
const OPTIMIZER_ELEMENTS: Partial<Record<Device, number>> = { "cuda": 2 ** 26, "cuda-sim": 2 ** 14 };

function optimizerCases(t: Tensors, n: number): KernelCase[] {
  const master = t.f32(n);
  const parameter = t.dtype === "float32" ? master : t.real(n);
  // Reads and writes master and both moments, reads and clears the gradient, writes the narrow copy if there is one.
  const bytes = n * (8 * 4 + (t.dtype === "float32" ? 0 : 2));
  return [
    {
      op: "SumOfSquares", shape: `${n}`, bytes: 4 * n,
      fields: { out: { data: new Float64Array(1), dtype: "float64", shape: [1] }, x: t.f32(n) },
    },
    {
      op: "CastStorage", shape: `${n}`, bytes: n * (4 + (t.dtype === "float32" ? 4 : 2)),
      fields: { out: t.real(n), x: t.f32(n) },
    },
    {
      op: "AdamWStep", shape: `${n}`, bytes,
      fields: {
        parameter, master, exp_avg: t.f32(n), exp_avg_sq: new Tensors("float32").squares(n),
        gradient: t.f32(n), learning_rate: 1e-4, step: 1,
      },
    },
    {
      // Reads and writes parameter and both moments, reads and clears the gradient.
      op: "AdamWStochasticStep", shape: `${n}`, bytes: n * (6 * t.width + 8),
      fields: {
        parameter: t.real(n), exp_avg: t.real(n), exp_avg_sq: t.squares(n), gradient: t.f32(n), learning_rate: 1e-4,
        step: 1,
      },
    },
  ];
}

/** Runs that a GPU is given in a row, so that what starting one costs the host is not seen. */
const GPU_RUNS = 20;

function timeOf(backend: OpBackend, { op, fields, less }: KernelCase, runs: number): number {
  const seconds = backend.time(op, fields, runs);
  if (!less) return seconds;
  const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => !less.includes(name)));
  return seconds - backend.time(op, rest, runs);
}

function time(backend: OpBackend, one: KernelCase, machine: Machine, dtype: DType): KernelResult {
  const runs = machine.device === "cuda" ? GPU_RUNS : 1;
  const times: number[] = [];
  const fractions: number[] = [];
  const work = one.flops ?? one.bytes!;
  for (let index = 0; index < ROUNDS; index++) {
    const limit = one.flops !== undefined ? machine.peak(dtype) : machine.copyBandwidth();
    const seconds = timeOf(backend, one, runs);
    times.push(seconds);
    fractions.push(work / seconds / limit);
  }
  return {
    op: one.op, shape: one.shape, dtype,
    median_ms: round(median(times) * 1000), rate: round(work / median(times)),
    limit: one.flops !== undefined ? "flops" : "bandwidth", fraction: round(median(fractions)),
  };
}

/** Yields a result an op, so that long benches show life. */
export function* benchKernels(
  config: ModelConfig, rows: number, dtype: DType, threads: number, machine: Machine,
): Generator<KernelResult, void, undefined> {
  const { device } = machine;
  const { ops } = nativeAddon() as unknown as OpsAddon;
  const backend = ops.create({ name: device, threads: device === "cpu" ? threads : 0 });
  const t = new Tensors(dtype);
  const families = [matmulCases, attentionCases, headCases, movementCases, headNormCases, rowCases, decodeCases];
  if (device !== "cpu") families.push(biasCases); // there it is lost in the time of the product
  for (const family of families) {
    for (const one of family(t, config, rows)) yield time(backend, one, machine, dtype);
  }
  for (const one of optimizerCases(t, OPTIMIZER_ELEMENTS[device] ?? 2 ** 24)) yield time(backend, one, machine, dtype);
}
