// Memory before it is taken: the engine's own count of it by arena, held against what a device has left. It does NOT
// choose options; it says which one to lower, and to what.
import { fail } from "../errors";
import {
  nativeAddon, nativeSync, type Device, type MemoryRow, type ModelConfig, type NativeModel, type NativeModelOptions,
  type PlannedWork,
} from "../native";
import type { PlannedJob } from "./work";

const NOTHING: PlannedWork = { training: null, sampling: null };
/** The search for the largest batch goes no further than this, or than what was planned. */
export const MOST_TRIED = 262_144;

export function plannedRows(config: ModelConfig, options: NativeModelOptions, work: PlannedWork): MemoryRow[] {
  return nativeSync(() => nativeAddon().plan(config, options, work));
}

/** True for what lies in the memory that the device computes in; a GPU's shared arenas lie in the host's. */
export function isOnDevice({ shared }: Pick<MemoryRow, "shared">, device: Device): boolean {
  return !(shared && (device === "cuda" || device === "cuda-sim"));
}

export function deviceBytes(rows: readonly MemoryRow[], device: Device): number {
  return rows.reduce((sum, row) => sum + (isOnDevice(row, device) ? row.bytes : 0), 0);
}

/** 1.23 GiB, 45.6 MiB, 789 KiB. */
export function formatBytes(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1023.5 && unit < units.length - 1; unit++) value /= 1024;
  return `${value >= 99.95 ? value.toFixed(0) : value.toPrecision(3)} ${units[unit]}`;
}

/** The largest value of the job's option that fits `bytes`, or 0 where not even 1 does. */
export function largestFitting(
  config: ModelConfig, options: NativeModelOptions, job: PlannedJob, bytes: number,
): number {
  const fits = (value: number): boolean => {
    try {
      return deviceBytes(plannedRows(config, options, job.work(value)), options.device) <= bytes;
    } catch {
      return false; // past what can be counted
    }
  };
  const most = Math.max(MOST_TRIED, job.value);
  let [below, above] = [0, 1];
  while (above <= most && fits(above)) [below, above] = [above, 2 * above];
  if (above > most) return most;
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (fits(middle)) below = middle;
    else above = middle;
  }
  return below;
}

function listed(rows: readonly MemoryRow[]): string {
  return [...rows].filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
    .map(({ arena, bytes }) => `${arena} ${formatBytes(bytes)}`).join(", ");
}

/** Rows less what is held of them already. */
function without(rows: readonly MemoryRow[], held: readonly MemoryRow[]): MemoryRow[] {
  const bytes = new Map(held.map((row) => [row.arena, row.bytes]));
  return rows.map((row) => ({ ...row, bytes: Math.max(0, row.bytes - (bytes.get(row.arena) ?? 0)) }));
}

function remedy({ option, value }: PlannedJob, largest: number, { lora }: NativeModelOptions): string {
  if (largest >= value) return "free some memory, and begin again";
  if (largest > 0) return `lower \`${option}\` from ${value} to ${largest}, or free some memory`;
  const states = lora ? "" : ", `optim_states` bfloat16"; // an adapter's are float32
  return `no \`${option}\` is small enough: take \`dtype\` bfloat16${states} or a smaller model, or free some memory`;
}

/**
 * To call before a model's weights are read; with `job`, for what will be done with it too.
 * @throws ERR_OUT_OF_MEMORY naming the arenas and the option to lower
 */
export function expectMemoryForModel(config: ModelConfig, options: NativeModelOptions, job?: PlannedJob): void {
  const rows = plannedRows(config, options, job?.work(job.value) ?? NOTHING);
  const wanted = deviceBytes(rows, options.device);
  const free = nativeSync(() => nativeAddon().availableBytes(options.device));
  if (wanted <= free) return;
  const what = job?.what ?? "model";
  const advice = job ? remedy(job, largestFitting(config, options, job, free), options)
    : "take `dtype` bfloat16 or a smaller model, or free some memory";
  fail("ERR_OUT_OF_MEMORY", `${what}: ${formatBytes(wanted)} are wanted on ${options.device}, ${formatBytes(free)} are free: `
    + `${listed(rows)}; ${advice}`, { wanted, free, rows, ...(job ? { option: job.option } : {}) });
}

/** To call before a job is begun on a model that is there. @throws ERR_OUT_OF_MEMORY as expectMemoryForModel does */
export function expectMemory(
  model: { config: ModelConfig; native: NativeModel; nativeOptions: NativeModelOptions }, job: PlannedJob,
): void {
  const { config, nativeOptions: options } = model;
  const held = nativeSync(() => model.native.memory());
  const rows = without(plannedRows(config, options, job.work(job.value)), held);
  const wanted = deviceBytes(rows, options.device);
  const free = nativeSync(() => model.native.availableBytes());
  if (wanted <= free) return;
  const largest = largestFitting(config, options, job, free + deviceBytes(held, options.device));
  fail("ERR_OUT_OF_MEMORY", `${job.what}: ${formatBytes(wanted)} more are wanted on ${options.device}, `
    + `${formatBytes(free)} are free: ${listed(rows)}; ${remedy(job, largest, options)}`,
    { wanted, free, rows, option: job.option });
}
