// A configuration as it may be shown to others: paths relative to where the run's data is, none of this
// machine's own. It does NOT read anything.
import { basename, isAbsolute, relative } from "node:path";
import type { RunConfig } from "../config/run-options";

function shorten(value: unknown, base: string): unknown {
  if (typeof value === "string" && isAbsolute(value)) {
    const inside = relative(base, value);
    return inside === "" || inside.startsWith("..") || isAbsolute(inside) ? basename(value) : inside;
  }
  if (Array.isArray(value)) return value.map((item) => shorten(item, base));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shorten(item, base)]));
}

/** The same configuration; `data_dir`, where its paths start, goes. */
export function portableConfig({ data_dir: base = "/", ...run }: RunConfig): RunConfig {
  return shorten(run, base) as RunConfig;
}
