// The last figures of a result file as a short table. Usage: node bench/gpu/table.mjs FILE [ROWS].
import { existsSync, readFileSync } from "node:fs";

const [file, rows = "60"] = process.argv.slice(2);

const percent = (fraction) => (Number.isFinite(fraction) ? `${(100 * fraction).toFixed(0)} %` : "");
const whole = (rate, unit) => (Number.isFinite(rate) ? `${Math.round(rate)} ${unit}` : "");
const nameOf = (config) => String(config ?? "").split("/").pop().replace(/\.json$/, "");

/** What was measured, the figure, its share of the limit, the limit. */
const views = {
  kernels: ({ op, shape, config, median_ms: ms, fraction, limit }) =>
    [`${op} ${shape}`, nameOf(config), `${ms} ms`, percent(fraction), `of ${limit}`],
  train: ({ mode, batch, length, config, tokens_per_second: rate, pairs_per_second: pairs, ...line }) =>
    [`${mode} ${batch} x ${length}`, nameOf(config), pairs ? whole(pairs, "pairs/s") : whole(rate, "tokens/s"),
      percent(line.gemm_peak_fraction), "of G"],
  sample: ({ batch, prompt_length: prompt, new_tokens: count, config, tokens_per_second: rate, ...line }) =>
    [`decode ${batch} x (${prompt} + ${count})`, nameOf(config), whole(rate, "tokens/s"),
      percent(line.floor_fraction), "of the floor"],
  compare: ({ name, peer, ours, theirs, ratio, target }) =>
    [name, peer, `${ours} : ${theirs ?? "not installed"}`, ratio === null ? "" : `${ratio} x`,
      target === null ? "" : `bar ${target} x`],
};

if (existsSync(file)) {
  const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const table = lines.slice(-Number(rows)).filter(({ bench }) => bench in views).map((line) => views[line.bench](line));
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...table.map((row) => row[column].length)));
  for (const row of table) console.log(row.map((text, column) => text.padEnd(widths[column])).join("  ").trimEnd());
} else {
  console.log(`no figures yet: ${file} is not there`);
}
