// One configuration with several seeds: the run of each, then means, intervals and paired differences over
// seeds. No seed is left out. It does NOT know the command line.
import { join } from "node:path";
import type { RunConfig } from "../config/run-options";
import type { MatrixColumn } from "../evaluate/matrix";
import { compareSeeds, type SeedComparison, type SeedSummary, summarizeSeeds } from "../evaluate/seeds";
import { stableJson, writeFileAtomic } from "../files";
import type { PairReport } from "../refine/report";
import { packageVersion } from "../version";
import type { RunControl } from "./context";
import type { RunEvent } from "./events";
import { runPipeline } from "./pipeline";
import { portableConfig } from "./portable";
import { MODEL_NAMES, type RunSummary } from "./summary";

export const SEEDS_FILE = "seeds.json";

export interface SeedsCell extends SeedSummary {
  /** Accuracy of each seed, in the order of `seeds`. */
  values: number[];
  /** Against instruction-tuned, the same seed; absent in that row. */
  versus_baseline?: SeedComparison;
  /** Self-refined against fine-tuning on the chosen paths, the same seed; absent without that control. */
  versus_control?: SeedComparison;
}

export interface SeedsSummary {
  format: 1;
  version: string;
  name: string;
  seeds: readonly number[];
  config: RunConfig;
  device: string;
  columns: MatrixColumn[];
  rows: { model: string; cells: Record<string, SeedsCell> }[];
  baseline: string;
  control: string;
  /** Of each seed, a report of each round. */
  pairs: PairReport[][];
  /** Evaluation questions found in training data, over all seeds: 0. */
  leaked: number;
  seconds: number[];
  notes: string[];
  /** Where this record is. */
  file: string;
}

/** Rows that all seeds have, for a control may be impossible with some seed: only these can be compared. */
function commonModels(summaries: readonly RunSummary[]): string[] {
  const [first, ...others] = summaries.map(({ matrix }) => matrix.rows.map(({ model }) => model));
  return (first as string[]).filter((model) => others.every((models) => models.includes(model)));
}

export function rowsOf(summaries: readonly RunSummary[]): SeedsSummary["rows"] {
  const { columns } = (summaries[0] as RunSummary).matrix;
  const models = commonModels(summaries);
  const values = (model: string, column: string): number[] =>
    summaries.map(({ matrix }) => matrix.rows.find((row) => row.model === model)?.cells[column]?.accuracy ?? 0);
  const cell = (model: string, column: string): SeedsCell => {
    const own = values(model, column);
    const versus = (other: string) => compareSeeds(values(other, column), own);
    const isControlled = model === MODEL_NAMES.refined && models.includes(MODEL_NAMES.rejection);
    return {
      ...summarizeSeeds(own),
      values: own,
      ...(model === MODEL_NAMES.tuned ? {} : { versus_baseline: versus(MODEL_NAMES.tuned) }),
      ...(isControlled ? { versus_control: versus(MODEL_NAMES.rejection) } : {}),
    };
  };
  return models.map((model) => ({
    model,
    cells: Object.fromEntries(columns.map(({ name }) => [name, cell(model, name)])),
  }));
}

/** @param follow consumes the events of one seed's run and returns its summary */
export async function runSeeds(
  config: RunConfig,
  seeds: readonly number[],
  directory: string,
  control: RunControl,
  follow: (events: AsyncGenerator<RunEvent, RunSummary>, seed: number) => Promise<RunSummary>,
): Promise<SeedsSummary> {
  const summaries: RunSummary[] = [];
  for (const seed of seeds) {
    const place = { directory, results: join(directory, `seed-${seed}`) };
    summaries.push(await follow(runPipeline({ ...config, seed }, place, control), seed));
  }
  const first = summaries[0] as RunSummary;
  const file = join(directory, SEEDS_FILE);
  const { file: _, ...record }: SeedsSummary = {
    format: 1,
    version: packageVersion(),
    name: config.name,
    seeds,
    config: portableConfig(config),
    device: first.device,
    columns: first.matrix.columns,
    rows: rowsOf(summaries),
    baseline: MODEL_NAMES.tuned,
    control: MODEL_NAMES.rejection,
    pairs: summaries.map(({ pairs }) => pairs),
    leaked: summaries.reduce((sum, { data }) => sum + data.leakage.left, 0),
    seconds: summaries.map(({ seconds }) => seconds),
    notes: [...new Set(summaries.flatMap(({ notes }) => notes))],
    file,
  };
  await writeFileAtomic(file, `${stableJson(record, 2)}\n`);
  return { ...record, file };
}
