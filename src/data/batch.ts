// The one batch of the engine: flat packed rows without padding, written into typed arrays over native memory.
// A segment attends causally within its rows [begin, end) and fully to the rows [prefixBegin, prefixEnd) before it;
// row n's target is the token that follows it. Which sequences share a batch is NOT decided here: see packing.ts.
import { fail } from "../errors";
import type { BatchSize } from "../native";

/** The target of a row that predicts nothing: Hugging Face's ignore index. */
export const NO_TARGET = -100;
/** The sequence of such a row. */
export const NO_SEQUENCE = -1;

/** N rows, G segments. All are filled from the start; the rest is whatever it was. */
export interface BatchBuffers {
  readonly tokens: Int32Array; // [N]
  readonly positions: Int32Array; // [N]
  readonly targets: Int32Array; // [N], NO_TARGET = none
  readonly weights: Float32Array; // [N], d loss / d(-logp); 0 where there is no target
  readonly segments: Int32Array; // [4 G]: begin, end, prefixBegin, prefixEnd
  readonly sequenceOfRow: Int32Array; // [N], scored sequence of the row's target, NO_SEQUENCE = none
}

/** What a group of rows needs of the buffers; also what they hold (native's TrainerCapacity without its flags). */
export interface Footprint {
  readonly tokens: number;
  readonly segments: number;
  readonly sequences: number;
}

/** Typed arrays of its own memory: for tests and tools; a trainer's are views of native memory. */
export function allocateBatch(maxTokens: number, maxSegments: number): BatchBuffers {
  return {
    tokens: new Int32Array(maxTokens),
    positions: new Int32Array(maxTokens),
    targets: new Int32Array(maxTokens),
    weights: new Float32Array(maxTokens),
    segments: new Int32Array(4 * maxSegments),
    sequenceOfRow: new Int32Array(maxTokens),
  };
}

/** Fills buffers in place, row by row; allocates nothing. */
export class BatchWriter {
  private row = 0;
  private segment = 0;
  private sequence = 0;

  constructor(private readonly buffers: BatchBuffers) {}

  get size(): BatchSize {
    return { tokens: this.row, segments: this.segment, sequences: this.sequence };
  }

  private begin(rows: number): number {
    if (this.row + rows > this.buffers.tokens.length || 4 * (this.segment + 1) > this.buffers.segments.length) {
      fail("ERR_INVALID_ARGUMENT", `the batch has ${this.buffers.tokens.length} rows and `
        + `${this.buffers.segments.length / 4} segments; ${rows} rows after row ${this.row} and segment `
        + `${this.segment} do not fit`);
    }
    return this.row;
  }

  private put(token: number, position: number, target: number, weight: number): void {
    const { tokens, positions, targets, weights, sequenceOfRow } = this.buffers;
    const n = this.row++;
    const scored = target !== NO_TARGET;
    tokens[n] = token;
    positions[n] = position;
    targets[n] = target;
    weights[n] = scored ? weight : 0;
    sequenceOfRow[n] = scored ? this.sequence : NO_SEQUENCE;
  }

  private end(begin: number, prefixBegin: number, prefixEnd: number): void {
    const at = 4 * this.segment++;
    const { segments } = this.buffers;
    segments[at] = begin;
    segments[at + 1] = this.row;
    segments[at + 2] = prefixBegin;
    segments[at + 3] = prefixEnd;
  }

  /** One sequence, prompt and completion, as one segment. `promptLoss`: the prompt's tokens are targets too. */
  example(prompt: readonly number[], completion: readonly number[], weight: number, promptLoss: boolean): void {
    const length = prompt.length + completion.length;
    const first = this.begin(length - 1);
    const at = (index: number) => (index < prompt.length ? prompt[index]! : completion[index - prompt.length]!);
    for (let index = 0; index + 1 < length; index++) {
      const scored = promptLoss || index + 1 >= prompt.length;
      this.put(at(index), index, scored ? at(index + 1) : NO_TARGET, weight);
    }
    this.end(first, 0, 0);
    this.sequence++;
  }

  /** A prompt once, without its last token, and after it one segment a completion that begins with that token. */
  branches(prompt: readonly number[], completions: readonly (readonly number[])[], weight: number): void {
    const shared = prompt.length - 1;
    let prefixBegin = 0;
    let prefixEnd = 0;
    if (shared > 0) {
      prefixBegin = this.begin(shared);
      for (let index = 0; index < shared; index++) this.put(prompt[index]!, index, NO_TARGET, 0);
      prefixEnd = this.row;
      this.end(prefixBegin, 0, 0);
    }
    for (const completion of completions) {
      const first = this.begin(completion.length);
      for (let index = 0; index < completion.length; index++) {
        const input = index === 0 ? prompt[shared]! : completion[index - 1]!;
        this.put(input, shared + index, completion[index]!, weight);
      }
      this.end(first, prefixBegin, prefixEnd);
      this.sequence++;
    }
  }
}
