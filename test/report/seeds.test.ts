// The summary over seeds: what is compared with what, and how it reads.
import { describe, expect, test } from "@jest/globals";
import { seedsText } from "../../src/report/seeds";
import { rowsOf, type SeedsSummary } from "../../src/run/seeds";
import type { RunSummary } from "../../src/run/summary";

const MODELS = ["base", "instruction-tuned", "self-refined", "fine-tuning on chosen paths"];
const columns = [{ name: "toy", domain: "in", pooled: false }];

function runOf(accuracies: readonly number[]): RunSummary {
  const rows = accuracies.map((accuracy, index) => ({ model: MODELS[index], cells: { toy: { accuracy } } }));
  return { matrix: { columns, rows, baseline: "instruction-tuned" } } as unknown as RunSummary;
}

function textOf(runs: readonly RunSummary[]): string {
  const summary = {
    seeds: runs.map((_, seed) => seed),
    columns,
    rows: rowsOf(runs),
    baseline: "instruction-tuned",
    control: "fine-tuning on chosen paths",
    leaked: 0,
  };
  return seedsText(summary as unknown as SeedsSummary);
}

const RUNS = [runOf([0, 0.2, 0.6, 0.3]), runOf([0, 0.3, 0.6, 0.5])];

describe("rows over seeds", () => {
  test("self-refined is compared with instruction-tuned and with the control, seed by seed", () => {
    const rows = rowsOf(RUNS);
    expect(rows.map(({ model }) => model)).toEqual(MODELS);
    const [base, tuned, refined, control] = rows.map(({ cells }) => cells["toy"]);
    expect(tuned?.versus_baseline).toBeUndefined();
    expect(refined?.versus_baseline?.mean).toBeCloseTo(0.35, 12);
    expect(refined?.versus_control?.mean).toBeCloseTo(0.2, 12);
    expect(refined?.versus_control).toMatchObject({ n: 2, better: 2, worse: 0 });
    expect(control?.versus_baseline?.mean).toBeCloseTo(0.15, 12);
    for (const one of [base, tuned, control]) expect(one?.versus_control).toBeUndefined();
  });

  test("a control that one seed lacks is no row, and nothing is compared with it", () => {
    const rows = rowsOf([...RUNS, runOf([0, 0.2, 0.6])]);
    expect(rows.map(({ model }) => model)).toEqual(MODELS.slice(0, 3));
    expect(rows[2]?.cells["toy"]?.versus_control).toBeUndefined();
    expect(rows[2]?.cells["toy"]?.versus_baseline?.n).toBe(3);
  });
});

test("the text has a table of differences from the baseline and one from the control", () => {
  const text = textOf(RUNS);
  expect(text).toContain("against instruction-tuned, paired by seed");
  const [, control] = text.split("against fine-tuning on chosen paths, paired by seed");
  expect(control).toMatch(/self-refined, toy +\+20\.0/);
  expect(control).not.toContain("base, toy");
  expect(textOf(RUNS.map(({ matrix }) => runOf(matrix.rows.slice(0, 3).map(({ cells }) => cells["toy"]!.accuracy)))))
    .not.toContain("against fine-tuning");
});
