// The heart of byte-pair encoding: given words (as ids) and how often each occurs, the merges in order.
// Pair counts are kept up to date word by word and the best pair comes from a heap whose entries may be stale, so a
// merge costs what it touches. Ties go to the smaller pair of ids: same input, same merges, on every machine.
// It does NOT know characters, bytes or files.

/** Words as ids below 2^26, with their counts; the arrays inside `words` are consumed. */
export interface MergeInput {
  readonly words: number[][];
  readonly counts: readonly number[];
}

/** One learned merge: ids `left`, `right` become `id`. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly id: number;
}

// A pair as one number, exact below 2^53, whose order is that of (left, right).
const SHIFT = 2 ** 26;
const keyOf = (left: number, right: number) => left * SHIFT + right;

/** Binary heap of (count, pair): largest count first, then smallest pair. */
class PairHeap {
  private readonly counts: number[] = [];
  private readonly keys: number[] = [];

  get size(): number {
    return this.keys.length;
  }

  private before(a: number, b: number): boolean {
    const difference = this.counts[a]! - this.counts[b]!;
    return difference > 0 || (difference === 0 && this.keys[a]! < this.keys[b]!);
  }

  private swap(a: number, b: number): void {
    [this.counts[a], this.counts[b]] = [this.counts[b]!, this.counts[a]!];
    [this.keys[a], this.keys[b]] = [this.keys[b]!, this.keys[a]!];
  }

  push(key: number, count: number): void {
    let at = this.keys.push(key) - 1;
    this.counts.push(count);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(at, parent)) break;
      this.swap(at, parent);
      at = parent;
    }
  }

  pop(): { key: number; count: number } {
    const top = { key: this.keys[0]!, count: this.counts[0]! };
    const last = this.keys.length - 1;
    this.swap(0, last);
    this.keys.pop();
    this.counts.pop();
    this.sink(last);
    return top;
  }

  private sink(size: number): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      let best = at;
      if (left < size && this.before(left, best)) best = left;
      if (left + 1 < size && this.before(left + 1, best)) best = left + 1;
      if (best === at) return;
      this.swap(at, best);
      at = best;
    }
  }
}

/** Counts of all adjacent pairs, and the words each was seen in (a word may be listed after it lost the pair). */
class PairIndex {
  readonly counts = new Map<number, number>();
  readonly words = new Map<number, number[]>();

  add(key: number, amount: number, word: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + amount);
    if (amount < 0) return;
    const list = this.words.get(key);
    if (!list) this.words.set(key, [word]);
    else if (list[list.length - 1] !== word) list.push(word);
  }
}

/** Replaces each (left, right) of a word by `id`, in place, telling `change` which pairs come and go. */
function mergeWord(word: number[], merge: Merge, change: (key: number, sign: 1 | -1) => void): void {
  const { left, right, id } = merge;
  let write = 0;
  for (let read = 0; read < word.length; read++) {
    if (word[read] !== left || word[read + 1] !== right || read + 1 >= word.length) {
      word[write++] = word[read]!;
      continue;
    }
    if (write > 0) {
      change(keyOf(word[write - 1]!, left), -1);
      change(keyOf(word[write - 1]!, id), 1);
    }
    if (read + 2 < word.length) {
      change(keyOf(right, word[read + 2]!), -1);
      change(keyOf(id, word[read + 2]!), 1);
    }
    word[write++] = id;
    read++;
  }
  word.length = write;
}

/**
 * Learns merges until `accept` has given out its last id or no pair occurs `minFrequency` times.
 * `accept(left, right)` names the id of the merged token; undefined ends the training.
 * Source: Sennrich et al. 2016; counting as in Hugging Face's BpeTrainer, so that equal input gives equal merges.
 */
export function learnMerges(
  input: MergeInput,
  minFrequency: number,
  accept: (left: number, right: number) => number | undefined,
): Merge[] {
  const index = new PairIndex();
  input.words.forEach((word, w) => {
    for (let i = 0; i + 1 < word.length; i++) index.add(keyOf(word[i]!, word[i + 1]!), input.counts[w]!, w);
  });
  const heap = new PairHeap();
  for (const [key, count] of index.counts) heap.push(key, count);

  const merges: Merge[] = [];
  while (heap.size > 0) {
    const { key, count } = heap.pop();
    const current = index.counts.get(key) ?? 0;
    if (current !== count) {
      if (current > 0) heap.push(key, current);
      continue;
    }
    if (count < minFrequency) break;
    const left = Math.floor(key / SHIFT);
    const right = key % SHIFT;
    const id = accept(left, right);
    if (id === undefined) break;
    const merge = { left, right, id };
    merges.push(merge);
    applyMerge(input, merge, index, heap);
  }
  return merges;
}

function applyMerge(input: MergeInput, merge: Merge, index: PairIndex, heap: PairHeap): void {
  const own = keyOf(merge.left, merge.right);
  const grown = new Set<number>();
  const touched = new Set(index.words.get(own));
  index.words.delete(own);
  for (const w of touched) {
    mergeWord(input.words[w]!, merge, (key, sign) => {
      index.add(key, sign * input.counts[w]!, w);
      if (sign > 0) grown.add(key);
    });
  }
  index.counts.set(own, 0);
  for (const key of grown) heap.push(key, index.counts.get(key)!);
}
