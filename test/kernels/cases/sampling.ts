// Sampling: each filter alone and together, at several temperatures and vocabulary sizes.
import type { OpCase } from "../support/case";
import type { Fields, Maker } from "../support/fields";

export interface SamplingOptions {
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
}

export function samplingFields(m: Maker, rows: number, vocabulary: number, options: SamplingOptions): Fields {
  const keys = Array.from({ length: rows }, (_, b) => [b % 5, b % 3, b]).flat();
  return {
    tokens: m.output([rows], "int32"), logps: m.output([rows], "float32"),
    logits: { ...m.float([rows, vocabulary], 2), role: "scratch" }, keys: m.ints(keys, [rows, 3]), seed: 1234567890123n,
    ...options,
  };
}

const variants: SamplingOptions[] = [
  {}, { temperature: 0 }, { temperature: 0.7 }, { temperature: 1.5 }, { temperature: 1e-3 }, { top_k: 1 }, { top_k: 5 },
  { top_k: 1000 }, { top_p: 0.9 }, { top_p: 0.3 }, { top_p: 1e-6 }, { min_p: 0.1 }, { min_p: 0.5 },
  { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.02 }, { temperature: 2, top_k: 3, top_p: 0.5 },
];

export const cases: OpCase[] = variants.flatMap((options) =>
  [[1, 1], [7, 5], [64, 129], [33, 4096]].map(([rows = 0, vocabulary = 0]) => ({
    op: "SampleTokens", name: `B=${rows} V=${vocabulary} ${JSON.stringify(options)}`, terms: vocabulary,
    make: (m: Maker): Fields => samplingFields(m, rows, vocabulary, options),
  })));
