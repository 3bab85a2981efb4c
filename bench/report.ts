// What a bench prints: one JSON object, or a few lines for people; and the line it appends to a result file.
import { appendFile, mkdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { machineTag, type Machine } from "./machine";
import { median, round } from "./statistics";

export type Figures = Readonly<Record<string, number>>;

/** Median and best of each figure over rounds; best is the least of times, else the most. */
export function summarize(rounds: readonly Figures[]): Record<string, { median: number; best: number }> {
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(names.map((name) => {
    const values = rounds.map((one) => one[name]!);
    const best = name.endsWith("_ms") ? Math.min(...values) : Math.max(...values);
    return [name, { median: round(median(values)), best: round(best) }];
  }));
}

/** The medians flat, as the bench's JSON object names them. */
export function medians(rounds: readonly Figures[]): Record<string, number> {
  return Object.fromEntries(Object.entries(summarize(rounds)).map(([name, value]) => [name, value.median]));
}

export function print(record: Readonly<Record<string, unknown>>, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(record)}\n`);
    return;
  }
  for (const [name, value] of Object.entries(record)) {
    process.stdout.write(`${name.padEnd(28)} ${typeof value === "object" ? JSON.stringify(value) : String(value)}\n`);
  }
}

/** Appends one JSON line to <machine>.jsonl in `folder`, its config named from the root on. */
export async function record(
  root: string, folder: string, machine: Machine, entry: Readonly<Record<string, unknown>>,
): Promise<string> {
  const path = join(folder, `${machine.name}.jsonl`);
  await mkdir(folder, { recursive: true });
  const config = entry["config"];
  const named = typeof config === "string" ? { config: relative(root, resolve(config)) } : {};
  // Without a GPU's newest kernels, because they fail or to compare, it is another figure.
  const hopper = process.env.SELFREFINE_HOPPER ? { hopper: process.env.SELFREFINE_HOPPER } : {};
  const line = { date: new Date().toISOString(), machine: machineTag(), ...entry, ...named, ...hopper };
  await appendFile(path, `${JSON.stringify(line)}\n`);
  return path;
}
