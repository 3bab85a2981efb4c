// The bookkeeping of a decode step: rows that go on within a page and into the next, that end by their number of tokens
// or at a stop token, and that were at rest before.
import type { OpCase } from "../support/case";
import type { Maker, TensorValue } from "../support/fields";

export interface AdvancingRow {
  position: number;
  remaining: number;
  /** What was drawn for it. */
  token: number;
}

interface Setting {
  rows: readonly AdvancingRow[];
  window: number;
  maxPages: number;
  pageSize: number;
  stops: readonly number[];
}

const inout = (value: TensorValue): TensorValue => ({ ...value, role: "inout" });

export function advance(name: string, { rows, window, maxPages, pageSize, stops }: Setting): OpCase {
  const count = rows.length;
  const make: OpCase["make"] = (m: Maker) => {
    const of = (value: (row: AdvancingRow, b: number) => number): TensorValue => m.ints(rows.map(value));
    return {
      tokens: inout(of((_, b) => 7 + b)),
      positions: inout(of(({ position }) => position)),
      lengths: inout(of(({ position }) => position + 1)),
      slots: inout(of(({ remaining }, b) => (remaining > 0 ? b : -1))),
      keys: inout(m.ints(rows.flatMap(({ position }, b) => [b, b % 3, position + 1]), [count, 3])),
      remaining: inout(of(({ remaining }) => remaining)),
      history_tokens: inout(m.ints(Array(count * window).fill(-7), [count, window])),
      history_logps: inout(m.float([count, window])),
      drawn_tokens: of(({ token }) => token),
      drawn_logps: m.float([count]),
      page_table: m.ints(Array.from({ length: count * maxPages }, (_, i) => (i * 5 + 3) % 97), [count, maxPages]),
      stop_tokens: m.ints(stops),
      page_size: pageSize,
    };
  };
  return { op: "AdvanceSamples", name, terms: 0, make };
}

const few: readonly AdvancingRow[] = [
  { position: 0, remaining: 5, token: 11 }, { position: 15, remaining: 2, token: 12 },
  { position: 16, remaining: 1, token: 13 }, { position: 30, remaining: 9, token: 2 },
  { position: 31, remaining: 0, token: 14 }, { position: 46, remaining: 2, token: 5 },
  { position: 47, remaining: 1, token: 2 }, { position: 0, remaining: 0, token: 0 },
];
const many = Array.from({ length: 300 }, (_, b) => ({ position: b % 63, remaining: b % 4, token: b % 17 }));

export const cases: OpCase[] = [
  advance("every way on and to an end", { rows: few, window: 8, maxPages: 3, pageSize: 16, stops: [2, -1, 5] }),
  advance("no stop tokens, a history of one", { rows: few, window: 1, maxPages: 3, pageSize: 16, stops: [] }),
  advance("pages of one position", { rows: few, window: 3, maxPages: 48, pageSize: 1, stops: [-1] }),
  advance("300 rows", { rows: many, window: 5, maxPages: 13, pageSize: 5, stops: [0, 3, 9] }),
  advance("no rows", { rows: [], window: 8, maxPages: 2, pageSize: 16, stops: [2] }),
];
