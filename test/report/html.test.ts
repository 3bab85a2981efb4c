// The report page: nothing a model, a file or a person wrote becomes markup; numbers come from the summary
// alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { lineChart, thin, ticks } from "../../src/report/chart";
import { compact, duration, number, percent, points } from "../../src/report/format";
import { renderReport } from "../../src/report/html";
import { escapeHtml, html } from "../../src/report/markup";
import { bar, Terminal, textTable } from "../../src/report/terminal";
import type { RunSummary } from "../../src/run/summary";
import { selfrefine, temporary, writeRunFile } from "../cli/command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
const EVIL = `<script>alert("x")</script><img src=x onerror='y'>&amp;\u0000`;
let summary: RunSummary;

beforeAll(async () => {
  const output = join(place.path, "out");
  const outcome = await selfrefine([
    "run",
    writeRunFile(place.path, { controls: [] }),
    "--output",
    output,
    "--quiet",
  ]);
  expect(outcome.code).toBe(0);
  summary = JSON.parse(readFileSync(join(output, "summary.json"), "utf8")) as RunSummary;
}, 300_000);
afterAll(place.remove);

/** Every text of a value replaced, its numbers kept: whatever the page shows is then evil. */
function poison<T>(value: T, keep: (key: string) => boolean, key = ""): T {
  if (typeof value === "string") return (keep(key) ? value : `${EVIL}${value}`) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => poison(item, keep, key)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, poison(item, keep, name)]),
  ) as T;
}

describe("the page", () => {
  test("escapes everything it is given", () => {
    // Names that are looked up must stay themselves; they are ours and not a user's.
    const structural = new Set(["domain", "baseline", "stage"]);
    const evil = poison(summary, (key) => structural.has(key));
    evil.matrix = poison(summary.matrix, () => true);
    evil.notes = [EVIL];
    const page = renderReport(evil);
    expect(page).not.toMatch(/<script|<img|onerror='y'|\u0000/);
    expect(page.split("&lt;script&gt;").length).toBeGreaterThan(20);
    expect(page).toContain("&amp;amp;");
  });

  test("is one file: no reference to anything else", () => {
    expect(renderReport(summary)).not.toMatch(/\b(src|href|url)\s*[=(]|@import|<script|<link/);
  });

  test("shows every number of the table, every training, and the leakage check", () => {
    const page = renderReport(summary);
    for (const { model, cells } of summary.matrix.rows) {
      expect(page).toContain(model);
      for (const { accuracy } of Object.values(cells)) expect(page).toContain(percent(accuracy));
    }
    for (const { stage } of summary.trainings) expect(page).toContain(`<h3>${stage}</h3>`);
    expect(page).toContain("no evaluation question is in the training data");
    for (const model of ["base", "self-refined"]) {
      expect(page.split(`<th colspan="7">${model} against instruction-tuned</th>`)).toHaveLength(2);
    }
    const plots = ["Reward margin", "Log-probabilities", "Estimated KL", "Token accuracy", "Entropy", "Mean logit"];
    for (const title of [...plots, "Completions side by side"]) expect(page).toContain(title);
  });

  test("has no empty plot for a log of a version that did not know a metric", () => {
    const old = structuredClone(summary);
    for (const step of old.trainings.flatMap(({ steps }) => steps)) delete (step as { entropy?: number }).entropy;
    const [page, wanted] = [renderReport(old), renderReport(summary)];
    expect(page).not.toContain("Entropy");
    expect(page.split("<svg").length).toBe(wanted.split("<svg").length - summary.trainings.length);
  });
});

describe("its parts", () => {
  test("a template escapes text and keeps markup", () => {
    expect(html`<p>${"<b>"}${[html`<i>${1}</i>`, "&"]}${false}${undefined}</p>`.text).toBe(
      "<p>&lt;b&gt;<i>1</i>&amp;</p>",
    );
    expect(escapeHtml(`"'`)).toBe("&quot;&#39;");
  });

  test("ticks are round and cover the range", () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(-0.013, 0.021).every((value) => value >= -0.013 && value <= 0.021)).toBe(true);
    expect(ticks(3, 3).length).toBeGreaterThan(0);
  });

  test("thinning keeps the mean", () => {
    const points = Array.from({ length: 1000 }, (_, x) => [x, x % 7] as const);
    const mean = (list: readonly (readonly [number, number])[]) =>
      list.reduce((sum, [, y]) => sum + y, 0) / list.length;
    expect(thin(points).length).toBeLessThanOrEqual(240);
    expect(mean(thin(points))).toBeCloseTo(mean(points), 1);
  });

  test("a plot of nothing, of one point and of NaN is a plot", () => {
    for (const points of [
      [],
      [[1, 2]],
      [
        [1, NaN],
        [2, 1],
      ],
    ] as [number, number][][]) {
      const svg = lineChart({ title: "t", yLabel: "y", series: [{ name: "s", points }] }).text;
      expect(svg).toContain("<svg");
      expect(svg).not.toMatch(/NaN|Infinity/);
    }
  });

  test("numbers are rounded in one way", () => {
    expect([
      percent(0.1234),
      percent(null),
      points(-0.021),
      points(0.0001),
      compact(12_345),
      number(-1.23456),
    ]).toEqual(["12.3 %", "n/a", "−2.1", "0.0", "12.3k", "−1.235"]);
    expect([duration(3.14), duration(59.7), duration(200), duration(7500)]).toEqual([
      "3.1 s",
      "1 min 00 s",
      "3 min 20 s",
      "2 h 05 min",
    ]);
  });
});

describe("the terminal", () => {
  const record = (isTTY: boolean) => {
    const written: string[] = [];
    return { written, stream: { isTTY, columns: 80, write: (text: string) => written.push(text) } };
  };

  test("draws a bar with what is left, and clears it", async () => {
    const { written, stream } = record(true);
    const terminal = new Terminal(stream);
    terminal.progress({ label: "sft", finished: 0, total: 10, unit: "steps" });
    await new Promise((wake) => setTimeout(wake, 150));
    terminal.progress({ label: "sft", finished: 5, total: 10, unit: "steps", detail: "loss 1.2" });
    terminal.finish();
    expect(written.some((text) => /█+.*5\/10 steps {2}.*steps\/s, .* left {2}loss 1.2/.test(text))).toBe(
      true,
    );
    expect(written.at(-1)).toBe("\r\x1b[2K");
    expect(written.every((text) => text.length < 100)).toBe(true);
  });

  test("writes no control characters where there is no terminal, and nothing but warnings when quiet", () => {
    const plain = record(false);
    const terminal = new Terminal(plain.stream);
    terminal.progress({ label: "sft", finished: 5, total: 10, unit: "steps" });
    terminal.note("done");
    expect(plain.written).toEqual(["done\n"]);
    const quiet = record(true);
    const silent = new Terminal(quiet.stream, { quiet: true });
    silent.progress({ label: "a", finished: 1, total: 2, unit: "x" });
    silent.note("n");
    silent.warn("w");
    expect(quiet.written).toEqual(["warning: w\n"]);
  });

  test("bars and tables have their widths", () => {
    expect([bar(0, 4), bar(0.5, 4), bar(1, 4), bar(7, 4)]).toEqual(["░░░░", "██░░", "████", "████"]);
    expect(
      textTable(
        ["a", "b"],
        [
          ["xx", "1"],
          ["y", "22"],
        ],
        "",
      ),
    ).toBe("a    b\n──────\nxx   1\ny   22");
  });
});
