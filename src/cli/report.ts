// Verb: the report of a finished run, again.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fail } from "../errors";
import { readJson, writeFileAtomic } from "../files";
import { renderReport } from "../report/html";
import { resultText } from "../report/results";
import { seedsText } from "../report/seeds";
import { REPORT_FILE, SUMMARY_FILE } from "../run/pipeline";
import { SEEDS_FILE, type SeedsSummary } from "../run/seeds";
import type { RunSummary } from "../run/summary";
import { textFlag } from "./common";
import type { Verb } from "./verb";

const PARTS = ["config", "data", "demonstrations", "examples", "matrix", "notes", "pairs", "stages", "student", "trainings"];

/** @throws ERR_DATA when the file is no summary of a run, or of another version */
async function readSummary(path: string): Promise<RunSummary> {
  const summary = (await readJson(path)) as Partial<RunSummary> | null;
  if (summary?.format !== 1) {
    fail("ERR_DATA", `${path}: a summary of format 1 is wanted, got ${String(summary?.format)}`, { path });
  }
  const missing = PARTS.find((part) => !(part in summary));
  if (missing !== undefined) fail("ERR_DATA", `${path}: no summary of a run: "${missing}" is missing`, { path });
  return summary as RunSummary;
}

export const reportVerb: Verb = {
  name: "report",
  summary: "show a finished run and write its HTML report anew",
  positional: { name: "directory", describe: "directory of the run" },
  flags: { output: textFlag("HTML file; default: report.html in the run's directory") },
  examples: [
    ["report runs/quickstart", "the table, and runs/quickstart/report.html"],
    ["report runs/quickstart --output /tmp/report.html", "the page elsewhere"],
  ],
  run: async (flags, context) => {
    const directory = String(flags["directory"]);
    if (existsSync(join(directory, SEEDS_FILE))) {
      const seeds = (await readJson(join(directory, SEEDS_FILE))) as SeedsSummary;
      context.emit({ type: "seeds", ...seeds });
      context.print(seedsText(seeds));
    }
    const path = join(directory, SUMMARY_FILE);
    if (!existsSync(path)) {
      if (existsSync(join(directory, SEEDS_FILE))) return;
      fail(
        "ERR_IO",
        `${directory}: no finished run is here (${SUMMARY_FILE} is missing); finish it with selfrefine run`,
        { path },
      );
    }
    const summary = await readSummary(path);
    const output = resolve(String(flags["output"] ?? join(directory, REPORT_FILE)));
    await writeFileAtomic(output, renderReport(summary));
    context.emit({ type: "finished", report: output, matrix: summary.matrix });
    context.print(`${resultText(summary)}\n\n  report: ${output}`);
  },
};
