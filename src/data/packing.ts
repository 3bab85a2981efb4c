// Which sequences share a micro-batch: length-aware bin packing, so that few rows stay unused, and the same bins for
// the same input. Each micro-batch then fills the engine's buffers in place.
// The weights are 1 / (scored tokens of the whole optimizer step): a sum over micro-batches is the mean over the step,
// however it was cut. It does NOT know text, files or the order of an epoch.
import { fail } from "../errors";
import type { BatchSize } from "../native";
import { type BatchBuffers, BatchWriter, type Footprint } from "./batch";

/** An encoded example: what conditions, and what is learned after it. `name` says where it came from, in errors. */
export interface PackedExample {
  readonly promptIds: readonly number[];
  readonly completionIds: readonly number[];
  readonly name?: string;
}

/** An encoded preference pair. */
export interface PackedPair {
  readonly promptIds: readonly number[];
  readonly chosenIds: readonly number[];
  readonly rejectedIds: readonly number[];
  readonly name?: string;
}

/** A prompt and any number of completions of it. */
export interface PackedBranches {
  readonly promptIds: readonly number[];
  readonly completions: readonly (readonly number[])[];
  readonly name?: string;
}

/** Some of the items, ready to be written into the engine's buffers. */
export interface MicroBatch {
  /** Indices of the items, ascending: item `members[k]` has the sequences from k * (sequences per item) on. */
  readonly members: readonly number[];
  readonly size: BatchSize;
  /** Rows with a target. */
  readonly scoredTokens: number;
  /** Writes it into buffers of at least `size`; allocates nothing of its size. */
  fill(buffers: BatchBuffers): BatchSize;
}

function nameOf(item: { readonly name?: string }, index: number): string {
  return item.name ?? `example ${index}`;
}

function checkFits(need: Footprint, capacity: Footprint, name: string): void {
  for (const what of ["tokens", "segments", "sequences"] as const) {
    if (need[what] > capacity[what]) {
      fail("ERR_INVALID_ARGUMENT", `${name} needs ${need[what]} ${what === "tokens" ? "rows" : what}, a micro-batch `
        + `holds at most ${capacity[what]}; shorten it, raise the limit, or choose the policy truncate or drop`,
      { name, need: need[what], capacity: capacity[what] });
    }
  }
}

/**
 * First-fit decreasing: the longest item first, each into the first bin with room, ties in the order given.
 * Members of a bin and the bins themselves come in the order of the items, so that the packing of a step is stable.
 * @throws ERR_INVALID_ARGUMENT naming an item that fits no bin
 */
export function packBins(items: readonly Footprint[], capacity: Footprint, names?: readonly string[]): number[][] {
  items.forEach((item, index) => checkFits(item, capacity, names?.[index] ?? `example ${index}`));
  const longestFirst = items.map((_, index) => index).sort((a, b) => items[b]!.tokens - items[a]!.tokens || a - b);
  const bins: { members: number[]; tokens: number; segments: number; sequences: number }[] = [];
  for (const index of longestFirst) {
    const item = items[index]!;
    let bin = bins.find((open) => open.tokens + item.tokens <= capacity.tokens
      && open.segments + item.segments <= capacity.segments
      && open.sequences + item.sequences <= capacity.sequences);
    if (!bin) bins.push(bin = { members: [], tokens: 0, segments: 0, sequences: 0 });
    bin.members.push(index);
    bin.tokens += item.tokens;
    bin.segments += item.segments;
    bin.sequences += item.sequences;
  }
  for (const { members } of bins) members.sort((a, b) => a - b);
  return bins.map(({ members }) => members).sort((a, b) => a[0]! - b[0]!);
}

/** A capacity, or just its rows: then segments and sequences are bounded by rows alone. */
export type Capacity = number | Footprint;

function footprintOf(capacity: Capacity): Footprint {
  return typeof capacity === "number"
    ? { tokens: capacity, segments: capacity, sequences: capacity }
    : capacity;
}

interface Packable<T> {
  readonly need: (item: T) => Footprint;
  readonly scored: (item: T) => number;
  readonly write: (writer: BatchWriter, item: T, weight: number) => void;
}

function pack<T extends { readonly name?: string }>(
  items: readonly T[], capacity: Capacity, how: Packable<T>, weight: number,
): MicroBatch[] {
  const needs = items.map(how.need);
  const bins = packBins(needs, footprintOf(capacity), items.map(nameOf));
  const sum = (members: number[], what: keyof Footprint) => members.reduce((total, m) => total + needs[m]![what], 0);
  return bins.map((members) => ({
    members,
    size: { tokens: sum(members, "tokens"), segments: sum(members, "segments"), sequences: sum(members, "sequences") },
    scoredTokens: members.reduce((total, member) => total + how.scored(items[member]!), 0),
    fill(buffers) {
      const writer = new BatchWriter(buffers);
      for (const member of members) how.write(writer, items[member]!, weight);
      return writer.size;
    },
  }));
}

function checkPrompt(promptIds: readonly number[], name: string): void {
  if (promptIds.length === 0) fail("ERR_INVALID_ARGUMENT", `${name}: the prompt has no tokens, not even BOS`, { name });
}

function checkCompletion(ids: readonly number[], name: string, what: string): void {
  if (ids.length === 0) fail("ERR_INVALID_ARGUMENT", `${name}: the ${what} has no tokens`, { name });
}

/** Rows an example takes: every token but the last is an input. */
export function exampleRows(example: PackedExample): number {
  return example.promptIds.length + example.completionIds.length - 1;
}

/** Rows of a prompt and its branches: the prompt but its last token once, then one row a completion token. */
export function branchRows(prompt: readonly number[], completions: readonly (readonly number[])[]): number {
  return completions.reduce((rows, completion) => rows + completion.length, prompt.length - 1);
}

/**
 * Checks all rows of a training before its first step, not when the one that is too long is drawn.
 * @throws ERR_CONFIG naming the longest
 */
export function expectRoom(items: readonly (PackedExample | PackedPair)[], tokens: number): void {
  const rows = items.map((item) =>
    ("chosenIds" in item ? branchRows(item.promptIds, [item.chosenIds, item.rejectedIds]) : exampleRows(item)));
  const index = rows.findIndex((need) => need > tokens);
  if (index < 0) return;
  const name = nameOf(items[index]!, index);
  fail("ERR_CONFIG", `${name} takes ${rows[index]} tokens of one forward pass, \`micro_batch_tokens\` is ${tokens}; raise it to `
    + `${rows.reduce((most, need) => Math.max(most, need), 0)}, or lower \`max_length\` and choose \`overlong\` truncate or drop`,
  { name, need: rows[index], micro_batch_tokens: tokens });
}

/**
 * All examples of one optimizer step as micro-batches of at most `capacity` rows. Targets are the completions' tokens;
 * `promptLoss` adds the prompt's (all but the first). Each scored row weighs 1 / (scored rows of all `examples`).
 * @throws ERR_INVALID_ARGUMENT naming an example that does not fit or has no tokens
 */
export function packSft(
  examples: readonly PackedExample[], capacity: Capacity, options: { promptLoss?: boolean } = {},
): MicroBatch[] {
  const promptLoss = options.promptLoss ?? false;
  examples.forEach((example, index) => {
    checkPrompt(example.promptIds, nameOf(example, index));
    checkCompletion(example.completionIds, nameOf(example, index), "completion");
  });
  const scored = (example: PackedExample) => (promptLoss ? exampleRows(example) : example.completionIds.length);
  const total = examples.reduce((sum, example) => sum + scored(example), 0);
  return pack(examples, capacity, {
    need: (example) => ({ tokens: exampleRows(example), segments: 1, sequences: 1 }),
    scored,
    write: (writer, { promptIds, completionIds }, weight) =>
      writer.example(promptIds, completionIds, weight, promptLoss),
  }, 1 / total);
}

/**
 * Prompts with their completions; the prompt's rows are computed once. Sequences are numbered through the micro-batch
 * in the order of its members. Each scored row weighs `weight`, default 1 / (scored rows of all items).
 * @throws ERR_INVALID_ARGUMENT naming an item that does not fit or has no tokens
 */
export function packBranches(
  items: readonly PackedBranches[], capacity: Capacity, options: { weight?: number } = {},
): MicroBatch[] {
  items.forEach((item, index) => {
    checkPrompt(item.promptIds, nameOf(item, index));
    item.completions.forEach((ids, k) => checkCompletion(ids, nameOf(item, index), `completion ${k}`));
  });
  const scored = (item: PackedBranches) => item.completions.reduce((sum, ids) => sum + ids.length, 0);
  const total = items.reduce((sum, item) => sum + scored(item), 0);
  return pack(items, capacity, {
    need: ({ promptIds, completions }) => ({
      tokens: branchRows(promptIds, completions),
      segments: completions.length + (promptIds.length > 1 ? 1 : 0),
      sequences: completions.length,
    }),
    scored,
    write: (writer, { promptIds, completions }, weight) => writer.branches(promptIds, completions, weight),
  }, options.weight ?? 1 / total);
}

/**
 * Whole pairs, prompt | chosen | rejected: of the k-th member of a micro-batch, sequence 2k is the chosen one and
 * 2k + 1 the rejected one. A preference loss brings its own weights, so the buffer's are 0 unless given.
 * @throws ERR_INVALID_ARGUMENT naming a pair that does not fit or has no tokens
 */
export function packPairs(
  pairs: readonly PackedPair[], capacity: Capacity, options: { weight?: number } = {},
): MicroBatch[] {
  const items = pairs.map(({ promptIds, chosenIds, rejectedIds, name }, index) => (
    { promptIds, completions: [chosenIds, rejectedIds], name: name ?? `pair ${index}` }));
  return packBranches(items, capacity, { weight: options.weight ?? 0 });
}
