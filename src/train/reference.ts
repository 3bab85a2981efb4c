// Log-probabilities of every pair under the frozen reference, once, before the first update. The model is the reference
// then, and the session is the one that will train: so at step 0 every reward is 0 and the sigmoid loss ln 2, exactly.
// Or its adapters are off, in each call of the engine alone. They are kept beside a training's checkpoints, since a
// training that goes on, perhaps on another device, is measured against the same. It does NOT know losses.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DpoOptions } from "../config/options";
import type { EncodedPair } from "../data/encode";
import { packPairs } from "../data/packing";
import { makeDirectory, readJson, stableJson, writeFileAtomic } from "../files";
import type { Model } from "../model";
import type { BatchSize } from "../native";
import type { ReferenceEvent } from "./events";
import type { TrainingSession } from "./session";

/** Sums over each completion, in nats; index i belongs to pair i. */
export interface ReferenceLogps {
  chosen: Float32Array;
  rejected: Float32Array;
}

interface Kept {
  /** Stands for the model, the pairs and which reference it was. */
  identity: string;
  chosen: number[];
  rejected: number[];
}

const keptIn = (directory: string): string => join(directory, "reference.json");

/** What was kept in `directory` under this identity, if anything. @throws ERR_IO, ERR_DATA */
export async function keptReference(directory: string, identity: string): Promise<ReferenceLogps | undefined> {
  if (!existsSync(keptIn(directory))) return undefined;
  const kept = (await readJson(keptIn(directory))) as Kept;
  if (kept.identity !== identity) return undefined;
  return { chosen: Float32Array.from(kept.chosen), rejected: Float32Array.from(kept.rejected) };
}

/** @throws ERR_IO */
export async function keepReference(
  directory: string, identity: string, { chosen, rejected }: ReferenceLogps,
): Promise<void> {
  const kept: Kept = { identity, chosen: Array.from(chosen), rejected: Array.from(rejected) };
  await makeDirectory(directory);
  await writeFileAtomic(keptIn(directory), `${stableJson(kept)}\n`);
}

/** Pairs are packed in groups of this many, so that one group's bookkeeping stays small and progress shows. */
const GROUP = 256;

/**
 * Fills `into`; yields after each micro-batch, with the model as it was given. @throws the signal's reason when aborted
 */
export async function* scoreReference(
  model: Model, session: TrainingSession, pairs: readonly EncodedPair[],
  options: Pick<DpoOptions, "reference" | "micro_batch_tokens">, into: ReferenceLogps, signal?: AbortSignal,
): AsyncGenerator<ReferenceEvent, void, undefined> {
  const score = (size: BatchSize): Promise<void> =>
    options.reference === "base" ? model.asBase(() => session.logps(size)) : session.logps(size);
  let finished = 0;
  for (let start = 0; start < pairs.length; start += GROUP) {
    const batches = packPairs(pairs.slice(start, start + GROUP), options.micro_batch_tokens);
    for await (const { batch } of session.inTurn(batches, (size) => {
      signal?.throwIfAborted();
      return score(size);
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
