// The table of models by tasks: each row a model, each column a task, in-domain columns first, with the pooled columns
// "in" and "out" and, against a baseline row, the paired comparison of every cell; of one row also against its control.
// It does NOT print (see report/).

import type { Domain, Prediction } from "../data/records";
import { fail } from "../errors";
import { type Accuracy, accuracyOf, byTask } from "./accuracy";
import { type BootstrapOptions, type Comparison, compare } from "./compare";

export interface ModelPredictions {
  model: string;
  predictions: readonly Prediction[];
}

export interface MatrixCell extends Accuracy {
  /** Against the row named `baseline`; absent in that row. */
  versus_baseline?: Comparison;
  /** Against the row named `control`; in the row it controls alone. */
  versus_control?: Comparison;
}

/** Rows to compare. */
export interface Contrasts extends BootstrapOptions {
  /** What every other row is compared with; null: none is. */
  baseline?: string | null;
  /** `model` is also compared with `against`, where both are there. */
  control?: { model: string; against: string };
}

export interface MatrixColumn {
  /** A task's name, or "in" / "out": all its questions of that domain together. */
  name: string;
  domain: Domain;
  pooled: boolean;
}

export interface Matrix {
  columns: MatrixColumn[];
  rows: { model: string; cells: Record<string, MatrixCell> }[];
  baseline: string | null;
  /** The row that `versus_control` compares with; absent where there is none. */
  control?: string;
}

/** Errors: ERR_DATA when a task is in-domain for one model and out for another, or the questions differ. */
export function accuracyMatrix(
  models: readonly ModelPredictions[], { baseline = null, control, ...options }: Contrasts = {},
): Matrix {
  const named = (name: string | null | undefined) => models.find((one) => one.model === name);
  const reference = named(baseline);
  if (baseline !== null && reference === undefined) {
    const known = models.map((one) => one.model).join(", ");
    fail("ERR_INVALID_ARGUMENT", `no model "${baseline}" to compare with; there are ${known}`, { baseline });
  }
  const controlled = named(control?.model) && named(control?.against);
  const columns = columnsOf(models);
  const rows = models.map(({ model, predictions }) => {
    const cells = columns.map((column): [string, MatrixCell] => {
      const own = select(predictions, column);
      const versus = (other: ModelPredictions) => compare(select(other.predictions, column), own, options);
      return [column.name, {
        ...accuracyOf(own),
        ...(reference && model !== baseline ? { versus_baseline: versus(reference) } : {}),
        ...(controlled && model === control?.model ? { versus_control: versus(controlled) } : {}),
      }];
    });
    return { model, cells: Object.fromEntries(cells) };
  });
  return { columns, rows, baseline, ...(controlled ? { control: controlled.model } : {}) };
}

function columnsOf(models: readonly ModelPredictions[]): MatrixColumn[] {
  const domains = new Map<string, Domain>();
  for (const { model, predictions } of models) {
    for (const [task, own] of byTask(predictions)) {
      const domain = domains.get(task) ?? own[0]?.domain ?? "in";
      const other = own.find((one) => one.domain !== domain);
      if (other !== undefined) {
        fail("ERR_DATA", `${model}: ${task} question ${other.id} is ${other.domain}-domain, others of it are ${domain}`);
      }
      domains.set(task, domain);
    }
  }
  const columns = [...domains].map(([name, domain]) => ({ name, domain, pooled: false }));
  return (["in", "out"] as const).flatMap((domain) => {
    const own = columns.filter((column) => column.domain === domain);
    return [...own, ...pooled(own, domain)];
  });
}

/** A pool of one task would only repeat it. */
function pooled(own: readonly MatrixColumn[], domain: Domain): MatrixColumn[] {
  return own.length < 2 ? [] : [{ name: domain, domain, pooled: true }];
}

function select(predictions: readonly Prediction[], column: MatrixColumn): Prediction[] {
  return predictions.filter((one) => (column.pooled ? one.domain === column.domain : one.task === column.name));
}
