// Log-probabilities of every pair under the frozen reference, once, before the first update. The model is the reference
// then, and the session is the one that will train: so at step 0 every reward is 0 and the sigmoid loss ln 2, exactly.
// It does NOT know losses.
import type { EncodedPair } from "../data/encode";
import { packPairs } from "../data/packing";
import type { ReferenceEvent } from "./events";
import type { TrainingSession } from "./session";

/** Sums over each completion, in nats; index i belongs to pair i. */
export interface ReferenceLogps {
  chosen: Float32Array;
  rejected: Float32Array;
}

/** Pairs are packed in groups of this many, so that one group's bookkeeping stays small and progress shows. */
const GROUP = 256;

/** Fills `into`; yields after each micro-batch. @throws the signal's reason when aborted */
export async function* scoreReference(
  session: TrainingSession, pairs: readonly EncodedPair[], microBatchTokens: number, into: ReferenceLogps,
  signal?: AbortSignal,
): AsyncGenerator<ReferenceEvent, void, undefined> {
  let finished = 0;
  for (let start = 0; start < pairs.length; start += GROUP) {
    const batches = packPairs(pairs.slice(start, start + GROUP), microBatchTokens);
    for await (const { batch } of session.inTurn(batches, (size) => {
      signal?.throwIfAborted();
      return session.logps(size);
    })) {
      batch.members.forEach((member, k) => {
        into.chosen[start + member] = session.outputs.sequenceLogps[2 * k]!;
        into.rejected[start + member] = session.outputs.sequenceLogps[2 * k + 1]!;
      });
      finished += batch.members.length;
      yield { type: "reference", finished, total: pairs.length };
    }
  }
}
