// The last figure of each kind in a result file, as a short table. Usage: node bench/gpu/table.mjs FILE [--markdown].
// With --markdown it is the README's: what a simulated GPU was timed at is left out. A line that was cut off when its
// writer was stopped is passed over.
import { existsSync, readFileSync } from "node:fs";

const [file, form] = process.argv.slice(2);

const percent = (fraction) => (Number.isFinite(fraction) ? `${(100 * fraction).toFixed(0)} %` : "");
const rounded = (rate) => (rate < 100 ? rate.toPrecision(3) : String(Math.round(rate)));
const whole = (rate, unit) => (Number.isFinite(rate) ? `${rounded(rate)} ${unit}` : "");
const nameOf = (config) => String(config ?? "").split("/").pop().replace(/\.json$/, "");

/** What was measured, of which model or beside which peer, the figure, its share of the limit, the limit. */
const views = {
  kernels: ({ op, shape, dtype, config, median_ms: ms, fraction, limit }) =>
    [`${op} ${shape} ${dtype}`, nameOf(config), `${ms} ms`, percent(fraction), `of ${limit}`],
  train: ({ mode, batch, length, dtype, config, tokens_per_second: rate, pairs_per_second: pairs, ...line }) =>
    [`${mode} ${batch} x ${length} ${dtype}${line.lora_r ? ` r ${line.lora_r}` : ""}`, nameOf(config),
      pairs ? whole(pairs, "pairs/s") : whole(rate, "tokens/s"), percent(line.gemm_peak_fraction), "of G"],
  sample: ({ batch, prompt_length: prompt, new_tokens: count, dtype, config, tokens_per_second: rate, ...line }) =>
    [`decode ${batch} x (${prompt} + ${count}) ${dtype}`, nameOf(config), whole(rate, "tokens/s"),
      percent(line.floor_fraction), "of the floor"],
  compare: ({ name, peer, ours, theirs, ratio, target }) =>
    [name, peer, `${rounded(ours)} : ${theirs === null ? "not installed" : rounded(theirs)}`,
      ratio === null ? "" : `${ratio} x`, target === null ? "" : `bar ${target} x`],
};

function parsed(line) {
  try {
    const entry = JSON.parse(line);
    if (!(entry.bench in views) || (form === "--markdown" && entry.device === "cuda-sim")) return [];
    const [work, ...rest] = views[entry.bench](entry);
    return [[entry.hopper === "off" ? `${work}, Hopper's kernels off` : work, ...rest]];
  } catch {
    return [];
  }
}

if (!existsSync(file)) {
  console.log(`no figures yet: ${file} is not there`);
} else {
  const rows = readFileSync(file, "utf8").split("\n").flatMap(parsed);
  const last = [...new Map(rows.map((row) => [`${row[0]}|${row[1]}`, row])).values()];
  if (form === "--markdown") {
    const head = ["work", "model or peer", "ours, or ours : theirs", "share or ratio", ""];
    for (const row of [head, head.map(() => "---"), ...last]) console.log(`| ${row.join(" | ")} |`);
  } else {
    const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...last.map((row) => row[column].length)));
    for (const row of last) console.log(row.map((text, column) => text.padEnd(widths[column])).join("  ").trimEnd());
  }
}
