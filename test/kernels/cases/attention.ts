// Attention over packed rows: one and many sequences, shared prefixes, windows, grouped queries, all head sizes.
import { inputs, type GradientCase } from "../support/case";
import type { Fields, Maker } from "../support/fields";

/** A prompt of so many rows and the answers that share it; none: a sequence of its own. */
export interface Group {
  prompt: number;
  answers?: number[];
}

export interface Layout {
  rows: number;
  /** (begin, end, prefixBegin, prefixEnd) of each segment, joined. */
  segments: number[];
  positions: number[];
}

const counting = (from: number, length: number): number[] => Array.from({ length }, (_, i) => from + i);

export function layoutOf(groups: Group[]): Layout {
  const layout: Layout = { rows: 0, segments: [], positions: [] };
  for (const { prompt, answers = [] } of groups) {
    const begin = layout.rows;
    layout.segments.push(begin, begin + prompt, 0, 0);
    layout.positions.push(...counting(0, prompt));
    layout.rows += prompt;
    for (const answer of answers) {
      layout.segments.push(layout.rows, layout.rows + answer, begin, begin + prompt);
      layout.positions.push(...counting(prompt, answer));
      layout.rows += answer;
    }
  }
  return layout;
}

export interface Heads {
  h: number;
  k: number;
  d: number;
}

export function scalarsOf({ h, k, d }: Heads, window: number): Record<string, number> {
  return { num_heads: h, num_kv_heads: k, scale: 1 / Math.sqrt(d), window };
}

export function attentionFields(m: Maker, layout: Layout, heads: Heads, window: number): Fields {
  const { h, k, d } = heads;
  return {
    out: m.output([layout.rows, h, d]), lse: m.output([layout.rows, h], "float32"),
    qkv: m.real([layout.rows, h + 2 * k, d]), segments: m.ints(layout.segments, [layout.segments.length / 4, 4]),
    positions: m.ints(layout.positions), ...scalarsOf(heads, window),
  };
}

const describe = (groups: Group[]): string =>
  groups.map(({ prompt, answers = [] }) => [prompt, ...answers].join("|")).join(" ") || "nothing";

function attention(groups: Group[], heads: Heads, window = 0, differences = false): GradientCase {
  const layout = layoutOf(groups);
  const longest = Math.max(1, ...groups.map(({ prompt, answers = [] }) => prompt + Math.max(0, ...answers)));
  const { h, k, d } = heads;
  return {
    forward: "AttentionForward", backward: "AttentionBackward",
    name: `${describe(groups)} H=${h} K=${k} D=${d} window ${window}`,
    // A key collects gradients of every query of its group that sees it.
    terms: Math.max(d, longest * (h / k), layout.rows * (h / k)), differences,
    make: (m) => attentionFields(m, layout, heads, window),
    output: "out", dout: "dout", gradients: { qkv: "dqkv" },
    back: (forward, m) => ({
      dqkv: m.output([layout.rows, h + 2 * k, d]), ...inputs(forward, "out", "lse", "qkv", "segments", "positions"),
      ...scalarsOf(heads, window),
    }),
  };
}

const one = (prompt: number): Group[] => [{ prompt }];
const mixed: Group[] = [
  { prompt: 5, answers: [3, 4] }, { prompt: 9 }, { prompt: 1, answers: [1] }, { prompt: 7, answers: [2, 6, 1] },
];
const pairs: Group[] = [{ prompt: 33, answers: [17, 40] }, { prompt: 64, answers: [65, 1] }, { prompt: 70 }];

const finite: GradientCase[] = [
  attention(one(1), { h: 1, k: 1, d: 3 }, 0, true),
  attention(one(7), { h: 2, k: 1, d: 4 }, 0, true),
  attention(one(129), { h: 1, k: 1, d: 2 }, 0, true),
  attention(mixed.slice(0, 3), { h: 2, k: 2, d: 2 }, 0, true),
  attention(mixed.slice(0, 3), { h: 4, k: 2, d: 2 }, 3, true),
];

const headSizes = [8, 16, 48, 64, 96, 128].map((d) => attention(mixed, { h: 4, k: 2, d }, 0));
const ratios = [[1, 1], [3, 3], [6, 2], [8, 1]].map(([h = 1, k = 1]) => attention(pairs, { h, k, d: 16 }));
const windows = [1, 2, 16, 64, 1000].map((window) => attention(pairs, { h: 4, k: 2, d: 32 }, window));

// Sizes around the tiles of 32, 64 and 128 rows that kernels cut segments into.
const edges = [1, 63, 64, 65, 127, 128, 129, 130].map((prompt) => ({ prompt }));
const users: Group[] = [{ prompt: 65, answers: [1, 63, 130] }, { prompt: 3 }];
const tiles: GradientCase[] = [
  attention(edges, { h: 2, k: 1, d: 64 }), attention(edges.slice(3), { h: 1, k: 1, d: 128 }),
  attention(users, { h: 4, k: 1, d: 64 }), attention(users, { h: 2, k: 2, d: 96 }),
  ...[20, 64, 100].map((window) => attention([{ prompt: 130, answers: [70, 129] }], { h: 2, k: 1, d: 32 }, window)),
  ...[2, 6, 32, 80, 136, 256, 264].map((d) => attention([{ prompt: 33, answers: [1, 65] }], { h: 2, k: 1, d })),
];

// Around tiles of 128 and 192 rows; heads narrower than the tiles' 64 and 128 columns; groups of odd size.
const large: GradientCase[] = [
  ...[191, 192, 193, 257].map((prompt) => attention(one(prompt), { h: 1, k: 1, d: 64 })),
  ...[255, 257].map((prompt) => attention(one(prompt), { h: 1, k: 1, d: 128 })),
  attention([{ prompt: 129, answers: [64, 66, 1] }, { prompt: 2 }], { h: 3, k: 1, d: 64 }),
  attention([{ prompt: 127, answers: [65] }, { prompt: 63 }], { h: 3, k: 3, d: 128 }),
  attention([{ prompt: 130, answers: [70] }], { h: 3, k: 1, d: 64 }, 100),
  attention([{ prompt: 130, answers: [70] }], { h: 2, k: 2, d: 128 }, 65),
  ...[40, 72, 120].map((d) => attention([{ prompt: 65, answers: [1, 65] }], { h: 2, k: 1, d })),
];

export const gradients: GradientCase[] = [
  ...finite, ...headSizes, ...ratios, ...windows, ...tiles, ...large,
  attention(one(200), { h: 2, k: 1, d: 64 }), attention(one(257), { h: 2, k: 2, d: 8 }, 33),
  attention([...Array(40).keys()].map((i) => ({ prompt: 1 + (i % 3) })), { h: 2, k: 1, d: 16 }),
  attention([], { h: 2, k: 1, d: 8 }), attention(mixed, { h: 2, k: 1, d: 7 }),
  attention(one(5), { h: 2, k: 1, d: 129 }),
];
