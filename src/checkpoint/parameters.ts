// One table of a model's parameters: Hugging Face's tensors and the rows of ours that they fill. Ours fuse what is
// multiplied by the same input: query, key and value in one matrix, gate and up in another.
// It does NOT know files or offsets.
import type { ModelConfig } from "../native";

/** A tensor of a Hugging Face checkpoint: rows [rowOffset, rowOffset + shape[0]) of one of our parameters. */
export interface CheckpointEntry {
  readonly hfName: string;
  readonly shape: readonly number[];
  readonly parameter: string;
  readonly rowOffset: number;
  /** Rows come in heads of this many, whose order depends on the RoPE layout; 0: no rows of heads. */
  readonly ropeHead: number;
}

/** Some tensors stacked into one parameter: [name, rows, rows of a head that RoPE turns]. */
type Part = readonly [hfName: string, rows: number, ropeHead?: number];

function stack(parameter: string, columns: number | null, parts: readonly Part[]): CheckpointEntry[] {
  let rowOffset = 0;
  return parts.map(([hfName, rows, ropeHead = 0]) => {
    const entry = { hfName, shape: columns === null ? [rows] : [rows, columns], parameter, rowOffset, ropeHead };
    rowOffset += rows;
    return entry;
  });
}

function layerEntries(config: ModelConfig, layer: number): CheckpointEntry[] {
  const { hiddenSize: c, intermediateSize: f, headDim: d } = config;
  const name = `model.layers.${layer}`;
  const attention = `${name}.self_attn`;
  const queries = config.numAttentionHeads * d;
  const keys = config.numKeyValueHeads * d;
  const projections = (kind: string): Part[] => [
    [`${attention}.q_proj.${kind}`, queries, d],
    [`${attention}.k_proj.${kind}`, keys, d],
    [`${attention}.v_proj.${kind}`, keys],
  ];
  const vector = (hfName: string, size: number, ropeHead = 0) => stack(hfName, null, [[hfName, size, ropeHead]]);
  return [
    ...vector(`${name}.input_layernorm.weight`, c),
    ...stack(`${attention}.qkv_proj.weight`, c, projections("weight")),
    ...(config.attentionBias ? stack(`${attention}.qkv_proj.bias`, null, projections("bias")) : []),
    ...(config.qkNorm ? ["q_norm", "k_norm"].flatMap((norm) => vector(`${attention}.${norm}.weight`, d, d)) : []),
    ...stack(`${attention}.o_proj.weight`, queries, [[`${attention}.o_proj.weight`, c]]),
    ...vector(`${name}.post_attention_layernorm.weight`, c),
    ...stack(`${name}.mlp.gate_up_proj.weight`, c,
      [[`${name}.mlp.gate_proj.weight`, f], [`${name}.mlp.up_proj.weight`, f]]),
    ...stack(`${name}.mlp.down_proj.weight`, f, [[`${name}.mlp.down_proj.weight`, c]]),
  ];
}

/** All tensors of a checkpoint of this shape, in the order they are written. */
export function checkpointEntries(config: ModelConfig): CheckpointEntry[] {
  const { hiddenSize: c, vocabSize: v } = config;
  const matrix = (hfName: string) => stack(hfName, c, [[hfName, v]]);
  return [
    ...matrix("model.embed_tokens.weight"),
    ...Array.from({ length: config.numHiddenLayers }, (_, layer) => layerEntries(config, layer)).flat(),
    ...stack("model.norm.weight", null, [["model.norm.weight", c]]),
    ...(config.tieWordEmbeddings ? [] : matrix("lm_head.weight")),
  ];
}
