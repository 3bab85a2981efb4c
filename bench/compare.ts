// Our rounds and a peer's in turn, A B A B, on the same model, shapes and tokens: the ratio pair by pair is what is
// quoted, for it holds while the machine's speed drifts. The list of comparisons is the table of targets.
import { join } from "node:path";
import { messageOf } from "../src/errors";
import type { DType } from "../src/native";
import type { Machine } from "./machine";
import { Peer, type PeerCommand } from "./peers";
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
  /** The first bar for ours / peer; null where only the fraction of the machine's rate has one. */
  target: number | null;
  open: () => Promise<Bench>;
  peer: PeerCommand;
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
  target: number | null;
  gemm_peak_fraction: number;
  our_engine_bytes: number;
  their_peak_bytes: number | null;
}

/** Where the comparisons run. */
interface Place {
  root: string;
  machine: Machine;
  threads: number;
}

interface Work {
  size: string;
  batch: number;
  dtype: DType;
  target: number | null;
  /** Tokens of a prompt; in training they carry no loss. */
  prompt: number;
  /** Tokens that are trained on, or drawn. */
  answer: number;
}

/** A form of the PyTorch peer, or the other peer. */
type PeerForm = "eager" | "compile" | "static" | "transformers" | "transformers-static" | "node-llama-cpp";

/** Debian's PyTorch is the peer on a CPU, a simulated GPU's too, where no other Python is named. */
const python = ({ machine }: Place): string =>
  process.env.SELFREFINE_PYTHON ?? (machine.device === "cuda" ? "python3" : "/usr/bin/python3");

function peerOf({ root, machine, threads }: Place, script: string, form: PeerForm, args: string[]): Comparison["peer"] {
  const where = machine.device === "cuda" ? ["--device", "cuda"] : ["--threads", String(Math.max(1, threads))];
  if (form === "node-llama-cpp") {
    const path = join(root, "bench", "peers", "node-llama-cpp", `${script}.mjs`);
    return { name: form, command: process.execPath, args: [path, ...args, ...where] };
  }
  const path = join(root, "bench", "peers", "pytorch", `${script}.py`);
  const name = form === "eager" ? "pytorch" : `pytorch ${form}`;
  return { name, command: python({ root, machine, threads }), args: [path, ...args, ...where, "--form", form] };
}

const configOf = ({ root }: Place, size: string): string => join(root, "bench", "configs", `${size}.json`);

function training(place: Place, mode: "sft" | "dpo", work: Work, form: PeerForm = "eager"): Comparison {
  const { size, batch, dtype, target, prompt, answer } = work;
  const { machine, threads } = place;
  const { device } = machine;
  const config = configOf(place, size);
  const length = prompt + answer;
  return {
    name: `${mode} ${size} ${dtype}`, target,
    figure: mode === "dpo" ? "pairs_per_second" : "tokens_per_second",
    open: () => TrainBench.open({
      config, mode, batch, length, prompt, dtype, threads, device,
      microBatchTokens: batch * (mode === "dpo" ? 2 : 1) * length,
    }, machine),
    peer: peerOf(place, "train", form, ["--config", config, "--mode", mode, "--batch", String(batch),
      "--prompt", String(prompt), "--answer", String(answer), "--dtype", dtype]),
  };
}

function decoding(place: Place, work: Work, form: PeerForm): Comparison {
  const { size, batch, dtype, target, prompt: promptLength, answer: newTokens } = work;
  const { machine, threads } = place;
  const config = configOf(place, size);
  return {
    name: `decode ${size} ${dtype} batch ${batch}`, target, figure: "tokens_per_second",
    open: () => SampleBench.open({
      config, batch, samples: 1, promptLength, newTokens, temperature: 0, dtype, threads, device: machine.device,
    }, machine),
    peer: peerOf(place, "sample", form, ["--config", config, "--batch", String(batch),
      "--prompt-length", String(promptLength), "--new-tokens", String(newTokens), "--dtype", dtype]),
  };
}

/** The comparisons on a CPU and their first bars. */
function cpuComparisons(place: Place): Comparison[] {
  const sft = (size: string, batch: number, dtype: DType, target: number, form: PeerForm = "eager"): Comparison =>
    training(place, "sft", { size, batch, dtype, target, prompt: 0, answer: 256 }, form);
  const dpo = (form: PeerForm): Comparison =>
    training(place, "dpo", { size: "small", batch: 4, dtype: "float32", target: 3, prompt: 256, answer: 256 }, form);
  // Debian's PyTorch cannot compile: those comparisons are of a newer one alone.
  const compiled = process.env.SELFREFINE_PYTHON === undefined ? [] : [
    sft("tiny", 8, "float32", 1.8, "compile"), sft("small", 8, "float32", 1.35, "compile"), dpo("compile"),
  ];
  const decode = (target: number, form: PeerForm): Comparison =>
    decoding(place, { size: "medium", batch: 64, dtype: "bfloat16", target, prompt: 16, answer: 64 }, form);
  return [
    sft("tiny", 8, "float32", 1.8), sft("small", 8, "float32", 1.35), sft("medium", 4, "float32", 1.2),
    sft("tiny", 8, "bfloat16", 1.5), sft("small", 8, "bfloat16", 1.4), sft("medium", 4, "bfloat16", 1.2),
    dpo("eager"), decode(1.8, "eager"), decode(8, "node-llama-cpp"), ...compiled,
  ];
}

/** Those on a GPU, of each kind what is worth most first. A peer that is not installed says so and is passed over. */
function gpuComparisons(place: Place): Comparison[] {
  const sft = (size: string, form: PeerForm): Comparison => training(
    place, "sft", { size, batch: 8, dtype: "bfloat16", target: null, prompt: 0, answer: 1024 }, form);
  const dpo = (form: PeerForm, target: number | null): Comparison => training(
    place, "dpo", { size: "1.1b", batch: 8, dtype: "bfloat16", target, prompt: 256, answer: 256 }, form);
  const decode = (batch: number, form: PeerForm, target: number | null): Comparison => decoding(
    place, { size: "1.1b", batch, dtype: "bfloat16", target, prompt: 128, answer: 128 }, form);
  return [
    ...["1.1b", "0.5b"].flatMap((size) => [sft(size, "transformers"), sft(size, "eager"), sft(size, "compile")]),
    dpo("transformers", 2.5), dpo("eager", null),
    ...[64, 256, 1024].flatMap((batch) => [
      decode(batch, "transformers", 10), decode(batch, "static", null), decode(batch, "eager", null),
      decode(batch, "transformers-static", null), decode(batch, "compile", null),
    ]),
  ];
}

/** A few seconds of a simulated GPU: that everything is there, no figures. */
function simulatedComparisons(place: Place): Comparison[] {
  const work = { size: "micro", batch: 2, dtype: "bfloat16", target: null, prompt: 4, answer: 4 } as const;
  return [training(place, "sft", work), training(place, "dpo", work), decoding(place, work, "static")];
}

function comparisons(place: Place): Comparison[] {
  if (place.machine.device === "cpu") return cpuComparisons(place);
  return place.machine.device === "cuda" ? gpuComparisons(place) : simulatedComparisons(place);
}

/** torch.compile may try kernels for longer than all that a borrowed GPU is there for. */
const readySeconds = ({ device }: Machine): number => (device === "cpu" ? 1800 : 120);

/** Nothing where a GPU's peer is absent: there are many forms of it, and ours alone is the other benches' work. */
async function compare(
  one: Comparison, machine: Machine, options: CompareOptions, say: (line: string) => void,
): Promise<ComparisonResult | undefined> {
  const peer = await Peer.start(one.peer, readySeconds(machine), say);
  if (!peer && machine.device !== "cpu") return undefined;
  let bench: Bench | undefined;
  const ours: number[] = [];
  const theirs: number[] = [];
  const fractions: number[] = [];
  let theirPeak: number | null = null;
  try {
    bench = await one.open();
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
    bench?.close();
  }
}

/** One that fails is told, and does not keep the rest from being measured. */
export async function* compareAll(
  root: string, machine: Machine, options: CompareOptions,
): AsyncGenerator<ComparisonResult> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const failed: string[] = [];
  for (const one of comparisons({ root, machine, threads: options.threads })) {
    if (!one.name.includes(options.only) && !one.peer.name.includes(options.only)) continue;
    try {
      const result = await compare(one, machine, options, say);
      if (result) yield result;
    } catch (error) {
      failed.push(`${one.name} beside ${one.peer.name}: ${messageOf(error)}`);
      say(failed.at(-1)!);
    }
  }
  if (failed.length > 0) throw new Error(`${failed.length} comparisons failed`);
}
