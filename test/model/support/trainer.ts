// A native trainer with its buffers as typed arrays, filled by the writer of src/data/batch.ts or by hand.
import { BatchWriter, type BatchBuffers } from "../../../src/data/batch";
import {
  nativeAddon, type BatchSize, type NativeModel, type NativeTrainer, type PreferenceOptions, type TrainerCapacity,
  type UpdateOptions,
} from "../../../src/native";

export interface Fill {
  (writer: BatchWriter): void;
}

export interface Pair {
  prompt: number[];
  chosen: number[];
  rejected: number[];
}

export class TestTrainer {
  readonly native: NativeTrainer;
  readonly inputs: BatchBuffers;
  readonly logps: Float32Array;
  readonly sequenceLogps: Float32Array;
  readonly pairLosses: Float32Array;
  readonly referenceLogps: Float32Array;

  constructor(model: NativeModel, capacity: Partial<TrainerCapacity> = {}) {
    const whole = { maxTokens: 256, maxSegments: 32, maxSequences: 32, training: true, ...capacity };
    this.native = new (nativeAddon().Trainer)(model, whole);
    const buffers = this.native.buffers();
    this.inputs = {
      tokens: new Int32Array(buffers.tokens),
      positions: new Int32Array(buffers.positions),
      targets: new Int32Array(buffers.targets),
      weights: new Float32Array(buffers.weights),
      segments: new Int32Array(buffers.segments),
      sequenceOfRow: new Int32Array(buffers.sequenceOfRow),
    };
    this.logps = new Float32Array(buffers.logps);
    this.sequenceLogps = new Float32Array(buffers.sequenceLogps);
    this.pairLosses = new Float32Array(buffers.pairLosses);
    this.referenceLogps = new Float32Array(buffers.referenceLogps);
  }

  fill(fill: Fill): BatchSize {
    const writer = new BatchWriter(this.inputs);
    fill(writer);
    return writer.size;
  }

  /** Whole sequences, one segment each, with the targets given (shifted already), all in scored sequence 0. */
  fillSequences(
    sequences: readonly { tokens: readonly number[]; targets: readonly number[] }[], weight = 1,
  ): BatchSize {
    const { tokens, positions, targets, weights, segments, sequenceOfRow } = this.inputs;
    let row = 0;
    sequences.forEach((sequence, s) => {
      segments.set([row, row + sequence.tokens.length, 0, 0], 4 * s);
      sequence.tokens.forEach((token, i) => {
        tokens[row] = token;
        positions[row] = i;
        targets[row] = sequence.targets[i] as number;
        weights[row] = weight;
        sequenceOfRow[row++] = 0;
      });
    });
    return { tokens: row, segments: sequences.length, sequences: 1 };
  }

  /** Each pair as prompt | chosen | rejected, the prompt shared. */
  fillPairs(pairs: readonly Pair[]): BatchSize {
    return this.fill((writer) => pairs.forEach(({ prompt, chosen, rejected }) =>
      writer.branches(prompt, [chosen, rejected], 0)));
  }

  async scores(size: BatchSize): Promise<{ rows: number[]; sequences: number[] }> {
    await this.native.logps(size);
    const sequences = [...this.sequenceLogps.subarray(0, size.sequences)];
    return { rows: [...this.logps.subarray(0, size.tokens)], sequences };
  }

  gradient(parameter: string): Float32Array {
    return new Float32Array(this.native.gradientView(parameter));
  }

  dispose(): void {
    this.native.dispose();
  }
}

export const dpo = (options: Partial<PreferenceOptions> = {}): PreferenceOptions =>
  ({ loss: "sigmoid", lengthNormalize: false, beta: 0.1, labelSmoothing: 0, pairWeight: 1, nllWeight: 0, ...options });

export const adamW = (step: number, learningRate: number): UpdateOptions =>
  ({ learningRate, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, maxGradNorm: 1, step, seed: 0 });
