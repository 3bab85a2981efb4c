// Batches read back as the engine would: every scored token once, in its own context, whatever the packing.
import { describe, expect, test } from "@jest/globals";
import { allocateBatch, type BatchBuffers, NO_TARGET } from "../../src/data/batch";
import { type MicroBatch, packBins, packBranches, packPairs, packSft } from "../../src/data/packing";
import { PhiloxStream } from "../../src/data/philox";

/** What the engine would compute on: for each scored row, the tokens it sees in order of position, and its target. */
interface Scored {
  sequence: number;
  context: number[];
  target: number;
  weight: number;
}

function readBack(buffers: BatchBuffers, { size }: MicroBatch): Scored[] {
  const { tokens, positions, targets, weights, segments, sequenceOfRow } = buffers;
  const scored: Scored[] = [];
  let next = 0;
  for (let g = 0; g < size.segments; g++) {
    const [begin, end, prefixBegin, prefixEnd] = segments.subarray(4 * g, 4 * g + 4) as unknown as number[];
    expect(begin).toBe(next);
    expect(prefixEnd!).toBeLessThanOrEqual(begin!);
    for (let n = begin!; n < end!; n++) {
      const rows = [...range(prefixBegin!, prefixEnd!), ...range(begin!, n + 1)];
      expect(rows.map((row) => positions[row])).toEqual(range(0, rows.length));
      if (targets[n] === NO_TARGET) {
        expect([weights[n], sequenceOfRow[n]]).toEqual([0, -1]);
        continue;
      }
      const context = rows.map((row) => tokens[row]!);
      scored.push({ sequence: sequenceOfRow[n]!, context, target: targets[n]!, weight: weights[n]! });
    }
    next = end!;
  }
  expect(next).toBe(size.tokens);
  expect(scored.length).toBe(scored.filter(({ sequence }) => sequence >= 0 && sequence < size.sequences).length);
  return scored;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function fill(batch: MicroBatch): Scored[] {
  const buffers = allocateBatch(batch.size.tokens, batch.size.segments);
  // Whatever an earlier batch left must not show through.
  for (const array of Object.values(buffers) as (Int32Array | Float32Array)[]) array.fill(77);
  expect(batch.fill(buffers)).toEqual(batch.size);
  return readBack(buffers, batch);
}

/** The rows a sequence must give: each completion token after all that is before it. */
function expected(prompt: readonly number[], completion: readonly number[], from = prompt.length) {
  const ids = [...prompt, ...completion];
  return range(from, ids.length).map((at) => ({ context: ids.slice(0, at), target: ids[at] }));
}

const strip = (rows: Scored[]) => rows.map(({ context, target }) => ({ context, target }));

function randomIds(random: PhiloxStream, least: number, most: number): number[] {
  return Array.from({ length: least + random.below(most - least + 1) }, () => random.below(1000));
}

describe("packSft", () => {
  test("one row in full", () => {
    const [batch] = packSft([{ promptIds: [1, 5, 6], completionIds: [7, 2] }], 16);
    const buffers = allocateBatch(4, 1);
    expect(batch!.fill(buffers)).toEqual({ tokens: 4, segments: 1, sequences: 1 });
    expect([...buffers.tokens]).toEqual([1, 5, 6, 7]);
    expect([...buffers.positions]).toEqual([0, 1, 2, 3]);
    expect([...buffers.targets]).toEqual([-100, -100, 7, 2]);
    expect([...buffers.weights]).toEqual([0, 0, 0.5, 0.5]);
    expect([...buffers.sequenceOfRow]).toEqual([-1, -1, 0, 0]);
    expect([...buffers.segments]).toEqual([0, 4, 0, 0]);
  });

  test("every completion token is scored once, in its own context, and the step's weights sum to 1", () => {
    const random = new PhiloxStream(1, 0);
    const examples = range(0, 50).map(() => (
      { promptIds: randomIds(random, 1, 30), completionIds: randomIds(random, 1, 20) }));
    const batches = packSft(examples, 64);
    expect(batches.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual(range(0, 50));
    let weight = 0;
    for (const batch of batches) {
      expect(batch.size.tokens).toBeLessThanOrEqual(64);
      const rows = fill(batch);
      weight += rows.reduce((sum, row) => sum + row.weight, 0);
      expect(rows).toHaveLength(batch.scoredTokens);
      batch.members.forEach((member, sequence) => {
        const { promptIds, completionIds } = examples[member]!;
        expect(strip(rows.filter((row) => row.sequence === sequence))).toEqual(expected(promptIds, completionIds));
      });
    }
    expect(weight).toBeCloseTo(1, 5);
    const used = batches.reduce((sum, batch) => sum + batch.size.tokens, 0);
    expect(used / (64 * batches.length)).toBeGreaterThan(0.9);
  });

  test("with the prompt in the loss all tokens but the first are targets", () => {
    const [batch] = packSft([{ promptIds: [1, 5, 6], completionIds: [7, 2] }], 16, { promptLoss: true });
    const rows = fill(batch!);
    expect(strip(rows)).toEqual(expected([1, 5, 6], [7, 2], 1));
    expect(rows[0]!.weight).toBe(0.25);
  });

  test("what does not fit or has no tokens is named", () => {
    const long = { promptIds: [1, 2], completionIds: [3, 4, 5], name: "d.jsonl:9" };
    expect(packSft([long], 4)).toHaveLength(1);
    expect(() => packSft([long], 3)).toThrow(/d\.jsonl:9 needs 4 rows, a micro-batch holds at most 3/);
    expect(() => packSft([{ promptIds: [], completionIds: [3] }], 8)).toThrow(/example 0: the prompt has no tokens/);
    expect(() => packSft([{ promptIds: [1], completionIds: [] }], 8))
      .toThrow(/example 0: the completion has no tokens/);
    expect(packSft([], 8)).toEqual([]);
  });

  test("a batch written into buffers that are too small is an error, not a cut", () => {
    const [batch] = packSft([{ promptIds: [1, 2], completionIds: [3, 4] }], 8);
    expect(() => batch!.fill(allocateBatch(2, 1))).toThrow(/the batch has 2 rows/);
  });
});

describe("packPairs and packBranches", () => {
  test("the prompt is computed once; chosen and rejected follow it", () => {
    const [batch] = packPairs([{ promptIds: [1, 5, 6], chosenIds: [7, 2], rejectedIds: [8, 9, 2] }], 16);
    const buffers = allocateBatch(7, 3);
    expect(batch!.fill(buffers)).toEqual({ tokens: 7, segments: 3, sequences: 2 });
    expect([...buffers.tokens]).toEqual([1, 5, 6, 7, 6, 8, 9]);
    expect([...buffers.positions]).toEqual([0, 1, 2, 3, 2, 3, 4]);
    expect([...buffers.targets]).toEqual([-100, -100, 7, 2, 8, 9, 2]);
    expect([...buffers.sequenceOfRow]).toEqual([-1, -1, 0, 0, 1, 1, 1]);
    expect([...buffers.segments]).toEqual([0, 2, 0, 0, 2, 4, 0, 2, 4, 7, 0, 2]);
    expect([...buffers.weights]).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  test("a prompt of one token has no shared segment", () => {
    const [batch] = packPairs([{ promptIds: [1], chosenIds: [7], rejectedIds: [8, 2] }], 16);
    expect(batch!.size).toEqual({ tokens: 3, segments: 2, sequences: 2 });
    expect(strip(fill(batch!))).toEqual([...expected([1], [7]), ...expected([1], [8, 2])]);
  });

  test("random pairs keep their contexts; sequence 2k is chosen, 2k + 1 rejected", () => {
    const random = new PhiloxStream(2, 0);
    const pairs = range(0, 40).map(() => ({
      promptIds: randomIds(random, 1, 20), chosenIds: randomIds(random, 1, 12), rejectedIds: randomIds(random, 1, 12),
    }));
    const batches = packPairs(pairs, { tokens: 96, segments: 9, sequences: 6 });
    expect(batches.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual(range(0, 40));
    for (const batch of batches) {
      expect(batch.members.length).toBeLessThanOrEqual(3);
      const rows = fill(batch);
      const sequences = rows.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      batch.members.forEach((member, k) => {
        const { promptIds, chosenIds, rejectedIds } = pairs[member]!;
        const of = (sequence: number) => strip(rows.filter((row) => row.sequence === sequence));
        expect(of(2 * k)).toEqual(expected(promptIds, chosenIds));
        expect(of(2 * k + 1)).toEqual(expected(promptIds, rejectedIds));
      });
    }
  });

  test("n completions of one prompt, weighted", () => {
    const completions = [[7, 2], [8, 2], [9, 3, 2]];
    const [batch] = packBranches([{ promptIds: [1, 4], completions }], 16);
    const rows = fill(batch!);
    expect(strip(rows)).toEqual(completions.flatMap((completion) => expected([1, 4], completion)));
    expect(rows[0]!.weight).toBeCloseTo(1 / 7, 6);
    expect(() => packPairs([{ promptIds: [1], chosenIds: [], rejectedIds: [2] }], 8))
      .toThrow(/pair 0: the completion 0 has no tokens/);
  });
});

test("packBins: longest first, each into the first bin with room, ties as given; equal input, equal bins", () => {
  const items = [3, 9, 5, 5, 7, 1].map((tokens) => ({ tokens, segments: 1, sequences: 1 }));
  const capacity = { tokens: 10, segments: 10, sequences: 10 };
  expect(packBins(items, capacity)).toEqual([[0, 4], [1, 5], [2, 3]]);
  expect(packBins(items, { ...capacity, sequences: 1 })).toEqual([[0], [1], [2], [3], [4], [5]]);
});
