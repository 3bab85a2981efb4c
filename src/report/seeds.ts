// The summary over seeds as text for a terminal. It does NOT compute.
import type { SeedsCell, SeedsSummary } from "../run/seeds";
import { percent, points, pValue } from "./format";
import { columnTitle } from "./results";
import { textTable } from "./terminal";

function cellText({ mean, low, high }: SeedsCell): string {
  if (low === null || high === null) return percent(mean);
  return `${percent(mean)} [${(100 * Math.max(0, low)).toFixed(1)}, ${(100 * Math.min(1, high)).toFixed(1)}]`;
}

/** Means with t intervals, then each row's paired differences from the baseline. */
export function seedsText({ seeds, columns, rows, baseline, leaked }: SeedsSummary): string {
  const table = textTable(
    [`mean over ${seeds.length} seeds`, ...columns.map(columnTitle)],
    rows.map(({ model, cells }) => [model, ...columns.map(({ name }) => cellText(cells[name] as SeedsCell))]),
  );
  const effects = rows
    .filter(({ model }) => model !== baseline)
    .flatMap(({ model, cells }) =>
      columns.flatMap((column) => {
        const versus = cells[column.name]?.versus_baseline;
        return versus
          ? [
              [
                `${model}, ${columnTitle(column)}`,
                points(versus.mean),
                `${points(versus.low)} to ${points(versus.high)}`,
                `${versus.better}/${versus.equal}/${versus.worse}`,
                pValue(versus.paired_t_p),
              ],
            ]
          : [];
      }),
    );
  const test = textTable(
    [`against ${baseline}, paired by seed`, "points", "95 % t interval", "+/=/−", "p (t)"],
    effects,
  );
  return `${table}\n\n${test}\n\n  evaluation questions in training data: ${leaked}`;
}
