// The summary over seeds as text for a terminal. It does NOT compute.
import type { SeedComparison } from "../evaluate/seeds";
import type { SeedsCell, SeedsSummary } from "../run/seeds";
import { percent, points, pValue } from "./format";
import { columnTitle } from "./results";
import { textTable } from "./terminal";

function cellText({ mean, low, high }: SeedsCell): string {
  if (low === null || high === null) return percent(mean);
  return `${percent(mean)} [${(100 * Math.max(0, low)).toFixed(1)}, ${(100 * Math.min(1, high)).toFixed(1)}]`;
}

function effectRow(name: string, versus: SeedComparison): string[] {
  return [
    name,
    points(versus.mean),
    `${points(versus.low)} to ${points(versus.high)}`,
    `${versus.better}/${versus.equal}/${versus.worse}`,
    pValue(versus.paired_t_p),
  ];
}

function effectTable(
  { rows, columns }: SeedsSummary,
  against: string,
  versus: (cell: SeedsCell) => SeedComparison | undefined,
): string[] {
  const effects = rows.flatMap(({ model, cells }) =>
    columns.flatMap((column) => {
      const effect = versus(cells[column.name] as SeedsCell);
      return effect ? [effectRow(`${model}, ${columnTitle(column)}`, effect)] : [];
    }),
  );
  const head = [`against ${against}, paired by seed`, "points", "95 % t interval", "+/=/−", "p (t)"];
  return effects.length > 0 ? [textTable(head, effects)] : [];
}

/** Means with t intervals, then paired differences from the baseline, and of self-refined from its control. */
export function seedsText(summary: SeedsSummary): string {
  const { seeds, columns, rows, baseline, control, leaked } = summary;
  const means = textTable(
    [`mean over ${seeds.length} seeds`, ...columns.map(columnTitle)],
    rows.map(({ model, cells }) => [model, ...columns.map(({ name }) => cellText(cells[name] as SeedsCell))]),
  );
  return [
    means,
    ...effectTable(summary, baseline, (cell) => cell.versus_baseline),
    ...effectTable(summary, control, (cell) => cell.versus_control),
    `  evaluation questions in training data: ${leaked}`,
  ].join("\n\n");
}
