// The paged cache and decoding from it.
import type { Step } from "../support/execute";
import type { OpCase } from "../support/case";
import type { Fields, Maker, TensorValue } from "../support/fields";
import { scalarsOf, type Heads } from "./attention";

interface Cache extends Heads {
  pages: number;
  pageSize: number;
}

/** Where an element lies in a page is the backend's own business, so a cache is only filled and read by its ops. */
function caches(m: Maker, { pages, k, pageSize, d }: Cache): { k_cache: TensorValue; v_cache: TensorValue } {
  const make = (): TensorValue => ({ ...m.real([pages, k, pageSize, d]), role: "scratch" });
  return { k_cache: make(), v_cache: make() };
}

/** Fills all slots in a shuffled order, by two writes that leave out each other's rows. */
export function fillCache(m: Maker, { pages, pageSize, h, k, d }: Cache, { k_cache = 0, v_cache = 0 }: Fields): Step[] {
  const all = pages * pageSize;
  const slots = [...Array(all).keys()].sort((a, b) => ((a * 7919) % 104729) - ((b * 7919) % 104729));
  const qkv = m.real([all, h + 2 * k, d]);
  const writes = [0, 1].map((half) => m.ints(slots.map((slot, i) => (i % 2 === half ? slot : -1))));
  return writes.map((part) => ({
    op: "KvCacheWrite", fields: { k_cache, v_cache, qkv, slots: part, num_heads: h },
  }));
}

/**
 * Rows in shuffled slots, each slot once (11 divides no cache here); every third is not stored. What they hold is seen
 * by the cases of decoding.
 */
function write(cache: Cache): OpCase {
  const { pages, pageSize, h, k, d } = cache;
  const all = pages * pageSize;
  const slots = [...Array(all).keys()].map((i) => (i % 3 === 2 ? -1 : (i * 11 + 3) % all));
  return {
    op: "KvCacheWrite", name: `pages=${pages} x ${pageSize} H=${h} K=${k} D=${d}`, terms: 0,
    make: (m) => ({ ...caches(m, cache), qkv: m.real([all, h + 2 * k, d]), slots: m.ints(slots), num_heads: h }),
  };
}

function copyPage(cache: Cache, from: number, to: number): OpCase {
  return {
    op: "KvCacheCopyPage", name: `${from} to ${to} of ${cache.pages} x ${cache.pageSize}`, terms: 0,
    make: (m) => ({ ...caches(m, cache), from, to }),
  };
}

function copyStep({ k_cache = 0, v_cache = 0 }: Fields, from: number, to: number): Step {
  return { op: "KvCacheCopyPage", fields: { k_cache, v_cache, from, to } };
}

/** Page tables that share pages and list them in any order; what lies beyond a length is never read. */
export function decodeFields(m: Maker, cache: Cache, lengths: number[], window: number): Fields {
  const { pages, pageSize, h, k, d } = cache;
  const maxPages = Math.max(1, ...lengths.map((length) => Math.ceil(length / pageSize)));
  const table = lengths.flatMap((length, b) => Array.from({ length: maxPages }, (_, i) =>
    (i * pageSize < length ? (i * 5 + b) % pages : -1)));
  return {
    out: m.output([lengths.length, h, d]), qkv: m.real([lengths.length, h + 2 * k, d]), ...caches(m, cache),
    page_table: m.ints(table, [lengths.length, maxPages]), lengths: m.ints(lengths), ...decodeScalars(cache, window),
  };
}

export function decodeScalars(heads: Heads, window: number): Record<string, number> {
  const { num_heads = 0, scale = 0 } = scalarsOf(heads, window);
  return { num_heads, scale, window };
}

/** `copies` are pages [from, to] that KvCacheCopyPage copies after the cache was filled. */
function decode(cache: Cache, lengths: number[], window = 0, copies: [number, number][] = []): OpCase {
  const { pages, pageSize, h, k, d } = cache;
  return {
    op: "AttentionDecode", terms: Math.max(d, ...lengths),
    name: `lengths ${lengths.join(",")} of ${pages} x ${pageSize} H=${h} K=${k} D=${d} window ${window}`
      + copies.map(([from, to]) => `, page ${from} copied to ${to}`).join(""),
    make: (m) => decodeFields(m, cache, lengths, window),
    setup: (m, fields) => [...fillCache(m, cache, fields), ...copies.map(([from, to]) => copyStep(fields, from, to))],
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
  decode(pool, [16, 33, 100], 0, [[3, 0], [10, 5], [2, 2]]),
  decode({ ...pool, pages: 3, pageSize: 5, d: 7 }, [5, 14, 11], 0, [[0, 2], [2, 1]]),
  ...[0, 300].map((window) => decode({ ...pool, pages: 40, d: 16 }, [600, 0, 257, 1], window)),
  decode({ ...pool, d: 7 }, [0, 16, 0]),
  decode(pool, Array.from({ length: 70 }, (_, i) => 1 + (i % 50))), decode(pool, []),
];
