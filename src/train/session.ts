// A trainer in use: the native trainer, the typed arrays it shares with this side, and a state that can be written and
// read back exactly. It does NOT know losses' meaning, data or schedules; sft.ts and dpo.ts drive it.
import type { BatchBuffers } from "../data/batch";
import type { MicroBatch } from "../data/packing";
import {
  native, nativeAddon, nativeSync, type BatchSize, type MemoryRow, type NativeModel, type NativeTrainer,
  type PreferenceOptions, type StateArenas, type TokenSums, type TrainerCapacity, type UpdateOptions,
} from "../native";

/** Views on what the trainer computed for the micro-batch before. */
export interface SessionOutputs {
  /** Log-prob of each row's target, 0 where there is none. */
  logps: Float32Array;
  /** Sum of the log-probs of each scored sequence. */
  sequenceLogps: Float32Array;
  pairLosses: Float32Array;
}

/** Sums of no tokens, for those of micro-batches to be added to. */
export const noTokens = (): TokenSums => ({ tokens: 0, entropy: 0, correct: 0, meanLogits: 0 });

export function addTokens(to: TokenSums, more: TokenSums): void {
  to.tokens += more.tokens;
  to.entropy += more.entropy;
  to.correct += more.correct;
  to.meanLogits += more.meanLogits;
}

export class TrainingSession {
  readonly inputs: BatchBuffers;
  readonly outputs: SessionOutputs;
  /** Log-probs of each sequence under the reference; input of `dpo`. */
  readonly referenceLogps: Float32Array;
  private readonly trainer: NativeTrainer;

  constructor(model: { readonly native: NativeModel }, capacity: TrainerCapacity) {
    const addon = nativeAddon();
    this.trainer = nativeSync(() => new addon.Trainer(model.native, capacity));
    const buffers = this.trainer.buffers();
    this.inputs = {
      tokens: new Int32Array(buffers.tokens),
      positions: new Int32Array(buffers.positions),
      targets: new Int32Array(buffers.targets),
      weights: new Float32Array(buffers.weights),
      segments: new Int32Array(buffers.segments),
      sequenceOfRow: new Int32Array(buffers.sequenceOfRow),
    };
    this.outputs = {
      logps: new Float32Array(buffers.logps),
      sequenceLogps: new Float32Array(buffers.sequenceLogps),
      pairLosses: new Float32Array(buffers.pairLosses),
    };
    this.referenceLogps = new Float32Array(buffers.referenceLogps);
  }

  /**
   * Does `work`, one of the calls below, for each batch in turn, and writes the next into `inputs` while the trainer
   * works: a call takes its batch over before it returns. The first is written at once, whatever the trainer does.
   * Yields when a batch is done, with `outputs` of that batch.
   */
  inTurn<R>(
    batches: readonly MicroBatch[], work: (size: BatchSize, batch: MicroBatch) => Promise<R>,
  ): AsyncGenerator<{ batch: MicroBatch; result: R }, void, undefined> {
    return this.eachInTurn(batches, batches[0]?.fill(this.inputs), work);
  }

  private async *eachInTurn<R>(
    batches: readonly MicroBatch[], first: BatchSize | undefined,
    work: (size: BatchSize, batch: MicroBatch) => Promise<R>,
  ): AsyncGenerator<{ batch: MicroBatch; result: R }, void, undefined> {
    let size = first;
    for (const [index, batch] of batches.entries()) {
      const pending = work(size!, batch);
      size = batches[index + 1]?.fill(this.inputs);
      yield { batch, result: await pending };
    }
  }

  /** Scores the batch in `inputs`; fills `outputs`. */
  logps(size: BatchSize): Promise<void> {
    return native(() => this.trainer.logps(size));
  }

  /** Adds the gradient of -sum(weights * logps) of the batch in `inputs`. */
  sft(size: BatchSize): ReturnType<NativeTrainer["sftStep"]> {
    return native(() => this.trainer.sftStep(size));
  }

  /** Adds the gradient of a preference loss of the pairs in `inputs`. */
  dpo(size: BatchSize, options: PreferenceOptions): ReturnType<NativeTrainer["dpoStep"]> {
    return native(() => this.trainer.dpoStep(size, options));
  }

  update(options: UpdateOptions): Promise<{ gradNorm: number }> {
    return native(() => this.trainer.update(options));
  }

  /** What each of the three arenas of the state is. */
  get stateArenas(): StateArenas {
    return this.trainer.stateArenas();
  }

  writeState(path: string, header: Uint8Array): Promise<void> {
    return native(() => this.trainer.writeState(path, header));
  }

  readState(path: string, fileOffset: number): Promise<void> {
    return native(() => this.trainer.readState(path, fileOffset));
  }

  memory(): MemoryRow[] {
    return this.trainer.memory();
  }

  dispose(): void {
    this.trainer.dispose();
  }
}
