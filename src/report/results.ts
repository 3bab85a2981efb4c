// The report's main part: accuracy of every model on every task with intervals and the paired test. Shared by
// the terminal and the page, so that both say the same. It does NOT compute.
import type { Comparison } from "../evaluate/compare";
import type { Matrix, MatrixCell, MatrixColumn } from "../evaluate/matrix";
import { MODEL_NAMES, type RunSummary } from "../run/summary";
import { intervalChart } from "./chart";
import { percent, points, pValue } from "./format";
import { html, type Html } from "./markup";
import { textTable } from "./terminal";

const DOMAIN_NAMES = { in: "in-domain", out: "out-of-domain" } as const;

/** "in" and "out" are all tasks of a domain together. */
export function columnTitle({ name, domain, pooled }: MatrixColumn): string {
  return pooled ? `all ${DOMAIN_NAMES[domain]}` : name;
}

/** "in-domain: svamp", "out-of-domain: all". */
function headTitle({ name, domain, pooled }: MatrixColumn): string {
  return `${DOMAIN_NAMES[domain]}: ${pooled ? "all" : name}`;
}

/** Columns a summary shows first: the pooled one of a domain, or its only task. */
export function headColumns({ columns }: Matrix): MatrixColumn[] {
  return (["in", "out"] as const).flatMap((domain) => {
    const own = columns.filter((column) => column.domain === domain);
    return own.filter((column) => column.pooled || own.length === 1);
  });
}

export function cellOf(matrix: Matrix, model: string, column: string): MatrixCell | undefined {
  return matrix.rows.find((row) => row.model === model)?.cells[column];
}

/** The paired comparison of self-refined with instruction-tuned. */
export function refinementEffect(matrix: Matrix, column: string): Comparison | undefined {
  return cellOf(matrix, MODEL_NAMES.refined, column)?.versus_baseline;
}

/** The same with its control: fine-tuning on the chosen paths alone. */
function controlEffect(matrix: Matrix, column: string): Comparison | undefined {
  return cellOf(matrix, MODEL_NAMES.refined, column)?.versus_control;
}

const cellText = ({ accuracy, low, high }: MatrixCell): string =>
  `${percent(accuracy)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;

export function effectText(effect: Comparison): string {
  return (
    `${points(effect.difference)} points [${points(effect.low)}, ${points(effect.high)}], ` +
    `gained ${effect.gained}, lost ${effect.lost}, p ${pValueText(effect.p_value)}`
  );
}

const pValueText = (p: number): string => (p < 0.001 ? pValue(p) : `= ${pValue(p)}`);

/** The table and the test as text for a terminal. */
export function resultText({ matrix }: RunSummary): string {
  const columns = headColumns(matrix);
  const rows = matrix.rows.map(({ model, cells }) => [
    model,
    ...columns.map(({ name }) => {
      const cell = cells[name];
      return cell ? cellText(cell) : "n/a";
    }),
  ]);
  const head = ["accuracy [95 % interval]", ...columns.map(headTitle)];
  const test = (against: string, effectOf: (column: string) => Comparison | undefined): string[] => {
    const effects = columns.flatMap((column) => {
      const effect = effectOf(column.name);
      return effect ? [`    ${columnTitle(column)}: ${effectText(effect)}`] : [];
    });
    const title = `  ${MODEL_NAMES.refined} against ${against}, paired (exact McNemar, bootstrap interval):`;
    return effects.length > 0 ? ["", title, ...effects] : [];
  };
  return [
    textTable(head, rows),
    ...test(MODEL_NAMES.tuned, (column) => refinementEffect(matrix, column)),
    ...test(matrix.control ?? "", (column) => controlEffect(matrix, column)),
  ].join("\n");
}

function headline({ matrix }: RunSummary): Html {
  const cards = headColumns(matrix).flatMap((column) => {
    const [tuned, refined] = [MODEL_NAMES.tuned, MODEL_NAMES.refined].map((name) =>
      cellOf(matrix, name, column.name),
    );
    const effect = refinementEffect(matrix, column.name);
    if (!tuned || !refined || !effect) return [];
    const tone = effect.low > 0 ? "good" : effect.high < 0 ? "bad" : "";
    return [
      html`<div class="card"><span>${headTitle(column)}</span>
<b>${percent(tuned.accuracy)} → ${percent(refined.accuracy)}</b>
<span class="${tone}">${points(effect.difference)} points, 95 % [${points(effect.low)}, ${points(effect.high)}]</span>
<span>preserved ${percent(effect.preservation_rate)}; McNemar p ${pValueText(effect.p_value)}</span></div>`,
    ];
  });
  return html`<div class="headline">${cards}</div>`;
}

function tableCell(cell: MatrixCell | undefined): Html {
  if (!cell) return html`<td>n/a</td>`;
  return html`<td>${percent(cell.accuracy)}<small>${(100 * cell.low).toFixed(1)} to ${(100 * cell.high).toFixed(1)}</small></td>`;
}

function accuracyTable(matrix: Matrix): Html {
  const rows = matrix.rows.map(
    ({ model, cells }) => html`<tr class="${model === MODEL_NAMES.refined ? "strong" : ""}"><td>${model}</td>
${matrix.columns.map(({ name }) => tableCell(cells[name]))}</tr>`,
  );
  const counts = matrix.columns.map(({ name }) => html`<td>${matrix.rows[0]?.cells[name]?.n ?? 0}</td>`);
  return html`<div class="scroll"><table><thead><tr><th>model</th>${matrix.columns.map(
    ({ name, domain, pooled }) =>
      html`<th>${pooled ? "all" : name}<small>${DOMAIN_NAMES[domain]}</small></th>`,
  )}</tr></thead>
<tbody>${rows}<tr><td class="soft">questions</td>${counts}</tr></tbody>
<caption>Accuracy, greedy unless the configuration says otherwise, with 95 % Wilson intervals. A completion without a readable answer is wrong.</caption></table></div>`;
}

function comparisonRows(
  { columns }: Matrix,
  name: string,
  effectOf: (column: string) => Comparison | undefined,
): Html[] {
  const rows = columns.flatMap((column) => {
    const one = effectOf(column.name);
    return one
      ? [
          html`<tr><td>${columnTitle(column)}</td><td>${points(one.difference)}</td>
<td>${points(one.low)} to ${points(one.high)}</td><td>${one.gained}</td><td>${one.lost}</td><td>${pValue(one.p_value)}</td>
<td>${percent(one.preservation_rate)}</td></tr>`,
        ]
      : [];
  });
  return rows.length > 0 ? [html`<tr class="group"><th colspan="7">${name}</th></tr>`, ...rows] : [];
}

function comparisonTable(matrix: Matrix): Html {
  const { baseline, control } = matrix;
  const rows = matrix.rows
    .filter(({ model }) => model !== baseline)
    .flatMap(({ model, cells }) =>
      comparisonRows(matrix, `${model} against ${baseline ?? ""}`, (column) => cells[column]?.versus_baseline),
    );
  const controlled = comparisonRows(matrix, `${MODEL_NAMES.refined} against ${control ?? ""}`, (column) =>
    controlEffect(matrix, column),
  );
  return html`<div class="scroll"><table class="figures"><thead><tr><th>task</th><th>points</th><th>95 %</th>
<th>gained</th><th>lost</th><th>p</th><th>preserved</th></tr></thead><tbody>${rows}${controlled}</tbody>
<caption>Same questions, paired: bootstrap interval of the difference, exact two-sided McNemar test, and the share of questions right before that are right after. No correction for the number of tests.</caption></table></div>`;
}

function failureTable(matrix: Matrix): Html {
  const columns = matrix.columns.filter(({ pooled }) => !pooled);
  const rows = matrix.rows.map(
    ({ model, cells }) => html`<tr><td>${model}</td>
${columns.map(({ name }) => html`<td>${percent(cells[name]?.extraction_failure_rate)}</td>`)}</tr>`,
  );
  return html`<h3>Answers that could not be read</h3><div class="scroll"><table><thead><tr><th>model</th>
${columns.map((column) => html`<th>${columnTitle(column)}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

export function resultSection(summary: RunSummary): Html {
  const { matrix } = summary;
  const chart = intervalChart(
    "Accuracy with 95 % intervals",
    matrix.columns.map((column) => ({
      group: columnTitle(column),
      dots: matrix.rows.flatMap(({ model, cells }) => {
        const cell = cells[column.name];
        return cell ? [{ name: model, value: cell.accuracy, low: cell.low, high: cell.high }] : [];
      }),
    })),
  );
  return html`${headline(summary)}<h2>Accuracy</h2>${chart}${accuracyTable(matrix)}${comparisonTable(matrix)}${failureTable(matrix)}`;
}
