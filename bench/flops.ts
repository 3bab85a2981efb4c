// Floating-point operations of a step, counted once for us and for every peer: 2 per matmul weight and token, and 4 D
// per query head and attended position. What a peer computes besides (padding, recomputation) is not credited to it.
import type { ModelConfig } from "../src/native";

/** One token through adapters of rank r on all seven projections, forward. */
export function adapterFlops(config: ModelConfig, r: number): number {
  const { hiddenSize: c, numAttentionHeads, numKeyValueHeads, headDim, numHiddenLayers } = config;
  const [queries, keys, f] = [numAttentionHeads * headDim, numKeyValueHeads * headDim, config.intermediateSize];
  const widths = (c + queries) + 2 * (c + keys) + (queries + c) + 3 * (c + f);
  return 2 * numHiddenLayers * r * widths;
}

/** One token forward: `attended` is the mean number of positions it sees; `scored` the share of tokens in the head. */
export function forwardFlops(config: ModelConfig, attended: number, scored = 1): number {
  const { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim, numHiddenLayers } = config;
  const attentionRows = (2 * numAttentionHeads + 2 * numKeyValueHeads) * headDim;
  const layer = hiddenSize * (attentionRows + 3 * config.intermediateSize);
  const weights = numHiddenLayers * layer + scored * hiddenSize * config.vocabSize;
  return 2 * weights + 4 * numHiddenLayers * numAttentionHeads * headDim * attended;
}
