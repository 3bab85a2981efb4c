// Our rounds and a peer's in turn, A B A B, on the same model, shapes and tokens: the ratio pair by pair is what is
// quoted, for it holds while the machine's speed drifts. The list of comparisons is the table of targets.
import { join } from "node:path";
import type { DType } from "../src/native";
import { Machine } from "./machine";
import { Peer } from "./peers";
import { SampleBench } from "./sample";
import { median, round } from "./statistics";
import { TrainBench } from "./train";

interface Bench {
  round(): Promise<{ tokens_per_second: number; pairs_per_second?: number; gemm_peak_fraction: number }>;
  memory(): number;
  close(): void;
}

interface Comparison {
  name: string;
  /** What is compared. */
  figure: "tokens_per_second" | "pairs_per_second";
  /** The first bar for ours / peer. */
  target: number;
  open: (machine: Machine) => Promise<Bench>;
  peer: { name: string; command: string; args: string[] };
}

export interface CompareOptions {
  threads: number;
  rounds: number;
  only: string;
}

export interface ComparisonResult {
  name: string;
  peer: string;
  ours: number;
  theirs: number | null;
  ratio: number | null;
  best_ratio: number | null;
  target: number;
  gemm_peak_fraction: number;
  our_engine_bytes: number;
  their_peak_bytes: number | null;
}

type Size = "tiny" | "small" | "medium";

function trainComparison(
  root: string, threads: number, size: Size, mode: "sft" | "dpo", batch: number, dtype: DType, target: number,
): Comparison {
  const config = join(root, "bench", "configs", `${size}.json`);
  const dpo = mode === "dpo";
  const [length, prompt] = dpo ? [512, 256] : [256, 0];
  const shape = dpo ? ["--prompt", String(prompt), "--answer", String(length - prompt)] : ["--length", String(length)];
  return {
    name: `${mode} ${size} ${dtype}`,
    figure: dpo ? "pairs_per_second" : "tokens_per_second",
    target,
    open: (machine) => TrainBench.open({
      config, mode, batch, length, prompt, dtype, threads, microBatchTokens: batch * (dpo ? 2 : 1) * length,
    }, machine),
    peer: {
      name: "pytorch",
      command: "/usr/bin/python3",
      args: [join(root, "bench", "peers", "pytorch", "train.py"), "--config", config, "--mode", mode,
        "--batch", String(batch), ...shape, "--dtype", dtype, "--threads", String(threads)],
    },
  };
}

function decodeComparison(
  root: string, threads: number, size: Size, batch: number, dtype: DType, target: number,
  peer: "pytorch" | "node-llama-cpp",
): Comparison {
  const config = join(root, "bench", "configs", `${size}.json`);
  const shape = ["--config", config, "--batch", String(batch), "--prompt-length", "16", "--new-tokens", "64",
    "--dtype", dtype, "--threads", String(threads)];
  const script = (...path: string[]) => [join(root, "bench", "peers", ...path), ...shape];
  const python = { name: peer, command: "/usr/bin/python3", args: script("pytorch", "sample.py") };
  const llama = { name: peer, command: process.execPath, args: script("node-llama-cpp", "sample.mjs") };
  return {
    name: `decode ${size} ${dtype} batch ${batch}`,
    figure: "tokens_per_second",
    target,
    open: (machine) => SampleBench.open(
      { config, batch, samples: 1, promptLength: 16, newTokens: 64, temperature: 0, dtype, threads }, machine),
    peer: peer === "pytorch" ? python : llama,
  };
}

/** The comparisons and their first bars. */
function comparisons(root: string, threads: number): Comparison[] {
  const train = trainComparison.bind(null, root, threads);
  const decode = decodeComparison.bind(null, root, threads);
  return [
    train("tiny", "sft", 8, "float32", 1.8),
    train("small", "sft", 8, "float32", 1.35),
    train("medium", "sft", 4, "float32", 1.2),
    train("tiny", "sft", 8, "bfloat16", 1.5),
    train("small", "sft", 8, "bfloat16", 1.4),
    train("medium", "sft", 4, "bfloat16", 1.2),
    train("small", "dpo", 4, "float32", 3),
    decode("medium", 64, "bfloat16", 1.8, "pytorch"),
    decode("medium", 64, "bfloat16", 8, "node-llama-cpp"),
  ];
}

async function compare(
  one: Comparison, options: CompareOptions, say: (line: string) => void,
): Promise<ComparisonResult> {
  const machine = new Machine(options.threads);
  const bench = await one.open(machine);
  const peer = await Peer.start(one.peer.name, one.peer.command, one.peer.args, say);
  const ours: number[] = [];
  const theirs: number[] = [];
  const fractions: number[] = [];
  let theirPeak: number | null = null;
  try {
    await bench.round();
    for (let index = 0; index < options.rounds; index++) {
      const mine = await bench.round();
      ours.push(mine[one.figure] ?? Number.NaN);
      fractions.push(mine.gemm_peak_fraction);
      const other = await peer?.round();
      if (!other) continue;
      theirs.push(Number(other[one.figure]));
      theirPeak = typeof other["peak_bytes"] === "number" ? other["peak_bytes"] : theirPeak;
    }
    const measured = theirs.length > 0;
    return {
      name: one.name, peer: one.peer.name, target: one.target,
      ours: round(median(ours)), theirs: measured ? round(median(theirs)) : null,
      ratio: measured ? round(median(ours.map((value, index) => value / theirs[index]!))) : null,
      best_ratio: measured ? round(Math.max(...ours) / Math.max(...theirs)) : null,
      gemm_peak_fraction: round(median(fractions)), our_engine_bytes: bench.memory(), their_peak_bytes: theirPeak,
    };
  } finally {
    peer?.stop();
    bench.close();
  }
}

export async function* compareAll(root: string, options: CompareOptions): AsyncGenerator<ComparisonResult> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  for (const one of comparisons(root, options.threads)) {
    if (one.name.includes(options.only) || one.peer.name.includes(options.only)) yield await compare(one, options, say);
  }
}
