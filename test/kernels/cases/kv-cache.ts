// The paged cache and decoding from it.
import type { OpCase } from "../support/case";
import type { Fields, Maker, TensorValue } from "../support/fields";
import { scalarsOf, type Heads } from "./attention";

interface Cache extends Heads {
  pages: number;
  pageSize: number;
}

function caches(m: Maker, { pages, k, pageSize, d }: Cache, role: "input" | "inout"): { k_cache: TensorValue; v_cache: TensorValue } {
  const shape = [pages, k, pageSize, d];
  const make = (): TensorValue => (role === "input" ? m.real(shape) : m.inPlace(shape));
  return { k_cache: make(), v_cache: make() };
}

/** Rows in shuffled slots; every third is not stored. Rows of the cache that no slot names must stay as they are. */
function write(cache: Cache): OpCase {
  const { pages, pageSize, h, k, d } = cache;
  const all = pages * pageSize;
  const slots = [...Array(all).keys()].map((i) => (i % 3 === 2 ? -1 : (i * 7 + 3) % all));
  return {
    op: "KvCacheWrite", name: `pages=${pages} x ${pageSize} H=${h} K=${k} D=${d}`, terms: 0,
    make: (m) => ({ ...caches(m, cache, "inout"), qkv: m.real([all, h + 2 * k, d]), slots: m.ints(slots), num_heads: h }),
  };
}

function copyPage(cache: Cache, from: number, to: number): OpCase {
  return {
    op: "KvCacheCopyPage", name: `${from} to ${to} of ${cache.pages} x ${cache.pageSize}`, terms: 0,
    make: (m) => ({ ...caches(m, cache, "inout"), from, to }),
  };
}

/** Page tables that share pages and list them in any order; what lies beyond a length is never read. */
export function decodeFields(m: Maker, cache: Cache, lengths: number[], window: number): Fields {
  const { pages, pageSize, h, k, d } = cache;
  const maxPages = Math.max(1, ...lengths.map((length) => Math.ceil(length / pageSize)));
  const table = lengths.flatMap((length, b) => Array.from({ length: maxPages }, (_, i) =>
    (i * pageSize < length ? (i * 5 + b) % pages : -1)));
  return {
    out: m.output([lengths.length, h, d]), qkv: m.real([lengths.length, h + 2 * k, d]), ...caches(m, cache, "input"),
    page_table: m.ints(table, [lengths.length, maxPages]), lengths: m.ints(lengths), ...decodeScalars(cache, window),
  };
}

export function decodeScalars(heads: Heads, window: number): Record<string, number> {
  const { num_heads = 0, scale = 0 } = scalarsOf(heads, window);
  return { num_heads, scale, window };
}

function decode(cache: Cache, lengths: number[], window = 0): OpCase {
  const { pages, pageSize, h, k, d } = cache;
  return {
    op: "AttentionDecode", terms: Math.max(d, ...lengths),
    name: `lengths ${lengths.join(",")} of ${pages} x ${pageSize} H=${h} K=${k} D=${d} window ${window}`,
    make: (m) => decodeFields(m, cache, lengths, window),
  };
}

const writes = [[1, 1, 1, 1, 1], [5, 4, 3, 1, 7], [4, 16, 6, 2, 64], [7, 16, 4, 4, 48]].map(
  ([pages = 0, pageSize = 0, h = 0, k = 0, d = 0]) => write({ pages, pageSize, h, k, d }));
const pool: Cache = { pages: 11, pageSize: 16, h: 4, k: 2, d: 64 };

export const cases: OpCase[] = [
  ...writes,
  copyPage(pool, 3, 7), copyPage(pool, 0, 10), copyPage(pool, 4, 4), copyPage({ ...pool, pageSize: 3, d: 5 }, 2, 1),
  ...[8, 16, 48, 64, 96, 128, 7, 129].map((d) => decode({ ...pool, d }, [1, 16, 17, 100, 5])),
  ...[[1, 1], [3, 3], [6, 2], [8, 1]].map(([h = 1, k = 1]) => decode({ ...pool, h, k, d: 16 }, [33, 1, 175])),
  ...[1, 2, 16, 40, 1000].map((window) => decode(pool, [1, 15, 16, 17, 60, 176], window)),
  decode({ ...pool, pageSize: 1 }, [1, 11, 4]), decode({ ...pool, pages: 1, pageSize: 5 }, [5, 2, 3]),
  decode(pool, Array.from({ length: 70 }, (_, i) => 1 + (i % 50))), decode(pool, []),
];
