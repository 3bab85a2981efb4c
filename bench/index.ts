// `npm run bench -- train|sample|kernels|compare`: the measured speed of the engine, as ratios to the machine's own
// limits and to peers in the same run; `states`: loss curves. Nothing here is a test: a slow machine fails nothing.
import { resolve } from "node:path";
import yargs from "yargs";
import { compareAll } from "./compare";
import { readConfig } from "./config";
import { benchKernels } from "./kernels";
import { machineOf, type Machine } from "./machine";
import { medians, print, record, summarize, type Figures } from "./report";
import { SampleBench } from "./sample";
import { compareStates } from "./states";
import { TrainBench } from "./train";
import { availableParallelism } from "node:os";
import type { Device, DType } from "../src/native";

const ROOT = resolve(__dirname, "..", "..");
const RESULTS = resolve(ROOT, "bench", "results");

interface Rounds {
  round(): Promise<object>;
  memory(): number;
  close(): void;
}

/** A warm-up round, then the measured ones. */
async function measure(bench: Rounds, rounds: number): Promise<Figures[]> {
  try {
    await bench.round();
    const results: Figures[] = [];
    for (let index = 0; index < rounds; index++) results.push({ ...(await bench.round()) } as Figures);
    return results;
  } finally {
    bench.close();
  }
}

interface ReportOptions {
  rounds: number;
  json: boolean;
  record: boolean;
  results: string;
}

async function report(
  what: Readonly<Record<string, unknown>>, bench: Rounds, machine: Machine, options: ReportOptions,
): Promise<void> {
  const engineBytes = bench.memory();
  const rounds = await measure(bench, options.rounds);
  const entry = {
    ...what, ...medians(rounds), peak_bytes: process.resourceUsage().maxRSS * 1024, engine_bytes: engineBytes,
    rounds: options.rounds, best: Object.fromEntries(Object.entries(summarize(rounds)).map(([k, v]) => [k, v.best])),
  };
  print(entry, options.json);
  if (options.record) process.stderr.write(`recorded in ${await record(ROOT, options.results, machine, entry)}\n`);
}

const machineOptions = {
  device: {
    choices: ["cpu", "cuda", "cuda-sim"] as const, default: "cpu" as Device,
    describe: "what computes; on a GPU the limits are cuBLASLt's rate at 8192^3 and the copy rate",
  },
  threads: { type: "number", describe: "threads of device cpu (default: all)" },
} as const;

interface MachineOptions {
  device: Device;
  threads?: number;
  record: boolean;
  results: string;
}

function threadsOf({ device, threads }: MachineOptions): number {
  if (device !== "cpu" && threads !== undefined) throw new Error(`--threads has no effect on --device ${device}`);
  return device === "cpu" ? threads ?? availableParallelism() : 0;
}

function openMachine(options: MachineOptions): [threads: number, machine: Machine] {
  if (options.record && options.device === "cuda-sim" && resolve(options.results) === RESULTS) {
    throw new Error("--record: a simulated GPU's speed is nobody's; --results FOLDER takes it, to try the way");
  }
  const threads = threadsOf(options);
  return [threads, machineOf(options.device, threads)];
}

const recording = {
  record: { type: "boolean", default: false, describe: "append the result to <machine>.jsonl" },
  results: { type: "string", default: RESULTS, describe: "the folder of that file" },
} as const;

const common = {
  ...machineOptions, ...recording,
  dtype: { choices: ["float32", "bfloat16"] as const, default: "float32" as DType, describe: "storage type" },
  rounds: { type: "number", default: 7, describe: "measured rounds, after one warm-up" },
  json: { type: "boolean", default: false, describe: "one JSON object on standard output" },
} as const;

const config = { type: "string", demandOption: true, describe: "Hugging Face config.json of the model" } as const;

async function main(): Promise<void> {
  await yargs(process.argv.slice(2))
    .scriptName("npm run bench --")
    .command("train", "time optimizer steps", (y) => y.options({
      ...common, config,
      mode: { choices: ["sft", "dpo"] as const, default: "sft" as const, describe: "what a step is" },
      batch: { type: "number", default: 8, describe: "sequences (sft) or pairs (dpo) a step" },
      length: { type: "number", default: 256, describe: "tokens of a sequence" },
      prompt: { type: "number", default: 0, describe: "of these, tokens of the prompt: not scored, shared by a pair" },
      "micro-batch-tokens": { type: "number", default: 4096, describe: "rows of one forward pass" },
      "lora-r": { type: "number", describe: "train adapters of this rank on all projections instead of the weights" },
    }), async (argv) => {
      const [threads, machine] = openMachine(argv);
      const bench = await TrainBench.open({ ...argv, threads }, machine);
      const { device, mode, batch, length, prompt, dtype, loraR } = argv;
      const what = {
        bench: "train", config: argv.config, device, mode, batch, length, prompt, dtype, threads,
        ...(loraR === undefined ? {} : { lora_r: loraR }),
      };
      await report(what, bench, machine, argv);
    })
    .command("sample", "time decoding", (y) => y.options({
      ...common, config,
      batch: { type: "number", default: 64, describe: "sequences decoded together" },
      samples: { type: "number", default: 1, describe: "samples that share a prompt; divides batch" },
      "prompt-length": { type: "number", default: 16, describe: "tokens of a prompt" },
      "new-tokens": { type: "number", default: 64, describe: "tokens drawn for each sequence" },
      temperature: { type: "number", default: 1, describe: "0 = greedy" },
    }), async (argv) => {
      const [threads, machine] = openMachine(argv);
      const bench = await SampleBench.open({ ...argv, threads }, machine);
      const { device, batch, samples, promptLength, newTokens, dtype } = argv;
      await report({
        bench: "sample", config: argv.config, device, batch, samples, prompt_length: promptLength,
        new_tokens: newTokens, dtype, threads,
      }, bench, machine, argv);
    })
    .command("kernels", "time each op family against its limit", (y) => y.options({
      ...common,
      config: { ...config, demandOption: false, default: resolve(ROOT, "bench", "configs", "small.json") },
      rows: { type: "number", default: 2048, describe: "rows of the packed batch" },
    }), async (argv) => {
      const model = await readConfig(argv.config);
      const [threads, machine] = openMachine(argv);
      const { device } = argv;
      for (const result of benchKernels(model, argv.rows, argv.dtype, threads, machine)) {
        const line = `${result.op.padEnd(22)} ${result.shape.padEnd(22)} ${result.median_ms.toFixed(2).padStart(9)} ms  `
          + `${(100 * result.fraction).toFixed(0).padStart(4)} % of ${result.limit}\n`;
        process.stdout.write(argv.json ? `${JSON.stringify(result)}\n` : line);
        const entry = { bench: "kernels", config: argv.config, device, threads, ...result };
        if (argv.record) await record(ROOT, argv.results, machine, entry);
      }
    })
    .command("compare", "alternate rounds with the peers that are installed", (y) => y.options({
      ...machineOptions, ...recording, rounds: common.rounds,
      only: { type: "string", default: "", describe: "only the comparisons whose name, or peer's, contains this" },
    }), async (argv) => {
      const [threads, machine] = openMachine(argv);
      for await (const result of compareAll(ROOT, machine, { ...argv, threads })) {
        process.stdout.write(`${JSON.stringify(result)}\n`);
        const entry = { bench: "compare", device: argv.device, ...result };
        if (argv.record) await record(ROOT, argv.results, machine, entry);
      }
    })
    .command("states", "loss curves with optimizer states in float32 and in bfloat16", (y) => y.options({
      threads: { ...machineOptions.threads, default: availableParallelism() },
      steps: { type: "number", default: 400, describe: "optimizer steps of each training" },
      seeds: { type: "number", default: 3, describe: "trainings of each kind" },
    }), async (argv) => {
      for await (const result of compareStates(argv)) process.stdout.write(`${JSON.stringify(result)}\n`);
    })
    .demandCommand(1, "name a bench")
    .strict()
    .fail((message, error) => { throw error ?? new Error(message); })
    .parseAsync();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
