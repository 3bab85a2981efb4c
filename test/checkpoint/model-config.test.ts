// config.json of four model classes, read and written; what is not computed is refused by name.
import { describe, expect, test } from "@jest/globals";
import { modelConfigJson, parseModelConfig } from "../../src/checkpoint/model-config";

const base = {
  vocab_size: 320, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4,
  bos_token_id: 1, eos_token_id: 2,
};
const llama = { ...base, architectures: ["LlamaForCausalLM"], model_type: "llama" };
const mistral = { ...base, architectures: ["MistralForCausalLM"], num_key_value_heads: 2, sliding_window: 4096 };
const qwen2 = { ...base, architectures: ["Qwen2ForCausalLM"], num_key_value_heads: 2, sliding_window: 8,
  use_sliding_window: false, max_window_layers: 2 };
const qwen3 = { ...base, architectures: ["Qwen3ForCausalLM"], num_key_value_heads: 2, head_dim: 32 };

describe("reading config.json", () => {
  test("Llama with the class's defaults", () => {
    expect(parseModelConfig(llama)).toEqual({
      vocabSize: 320, hiddenSize: 64, intermediateSize: 128, numHiddenLayers: 2, numAttentionHeads: 4,
      numKeyValueHeads: 4, headDim: 16, rmsNormEps: 1e-6, ropeTheta: 10000, ropeScaling: null, ropeInterleaved: false,
      tieWordEmbeddings: false, attentionBias: false, qkNorm: false, slidingWindow: null, maxPositionEmbeddings: 2048,
      bosTokenId: 1, eosTokenIds: [2],
    });
  });

  test("what the other classes add", () => {
    expect(parseModelConfig(mistral)).toMatchObject({ slidingWindow: 4096, numKeyValueHeads: 2 });
    expect(parseModelConfig({ ...mistral, sliding_window: null }).slidingWindow).toBeNull();
    expect(parseModelConfig(qwen2)).toMatchObject({ attentionBias: true, qkNorm: false, slidingWindow: null });
    expect(parseModelConfig(qwen3)).toMatchObject({ attentionBias: false, qkNorm: true, headDim: 32 });
    expect(parseModelConfig({ ...qwen3, head_dim: undefined }).headDim).toBe(128);
    expect(parseModelConfig({ ...base, model_type: "qwen2", num_key_value_heads: null }).numKeyValueHeads).toBe(4);
    // -1 stands for none, as in old conversions.
    expect(parseModelConfig({ ...llama, eos_token_id: -1, bos_token_id: -1 }))
      .toMatchObject({ eosTokenIds: [], bosTokenId: null });
    expect(parseModelConfig({ ...llama, eos_token_id: [5, 6], bos_token_id: null, tie_word_embeddings: true }))
      .toMatchObject({ eosTokenIds: [5, 6], bosTokenId: null, tieWordEmbeddings: true });
  });

  test("Qwen's sliding layers: none, all, or a refusal", () => {
    const sliding = { ...qwen2, use_sliding_window: true };
    expect(parseModelConfig(sliding).slidingWindow).toBeNull(); // from layer 2 of 2 on
    expect(parseModelConfig({ ...sliding, max_window_layers: 0 }).slidingWindow).toBe(8);
    expect(() => parseModelConfig({ ...sliding, max_window_layers: 1 })).toThrow(/max_window_layers 1 of 2 layers/);
    const kinds = (...types: string[]) => parseModelConfig({ ...qwen3, sliding_window: 8, layer_types: types });
    expect(kinds("full_attention", "full_attention").slidingWindow).toBeNull();
    expect(kinds("sliding_attention", "sliding_attention").slidingWindow).toBe(8);
    expect(() => kinds("full_attention", "sliding_attention")).toThrow(/several layer_types/);
  });

  const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const expected = {
    type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192,
  };

  test("RoPE in the old form and in that of transformers 5", () => {
    const old = parseModelConfig({ ...llama, rope_theta: 5e5, rope_scaling: { rope_type: "llama3", ...llama3 } });
    const now = parseModelConfig({ ...llama, rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } });
    expect([old.ropeTheta, old.ropeScaling]).toEqual([5e5, expected]);
    expect([now.ropeTheta, now.ropeScaling]).toEqual([5e5, expected]);
    expect(parseModelConfig({ ...llama, rope_scaling: { type: "linear", factor: 2 } }).ropeScaling)
      .toEqual({ type: "linear", factor: 2 });
    expect(parseModelConfig({ ...llama, rope_parameters: { rope_type: "default", rope_theta: 7 } }))
      .toMatchObject({ ropeTheta: 7, ropeScaling: null });
  });

  test.each<[object, string, RegExp]>([
    [{ architectures: ["MixtralForCausalLM"] }, "ERR_UNSUPPORTED", /c\.json: the architecture "MixtralForCausalLM"/],
    [{ architectures: undefined, model_type: "gpt2" }, "ERR_UNSUPPORTED", /the architecture "gpt2"/],
    [{ hidden_act: "gelu" }, "ERR_UNSUPPORTED", /hidden_act "gelu"/],
    [{ attention_bias: true }, "ERR_UNSUPPORTED", /attention_bias true/],
    [{ mlp_bias: true }, "ERR_UNSUPPORTED", /mlp_bias/],
    [{ quantization_config: {} }, "ERR_UNSUPPORTED", /quantized/],
    [{ num_local_experts: 8 }, "ERR_UNSUPPORTED", /mixture of experts \(num_local_experts\)/],
    [{ partial_rotary_factor: 0.5 }, "ERR_UNSUPPORTED", /partial_rotary_factor 0.5/],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, "ERR_UNSUPPORTED", /RoPE scaling of type "yarn"/],
    [{ rope_scaling: { type: "dynamic", factor: 4 } }, "ERR_UNSUPPORTED", /RoPE scaling of type "dynamic"/],
    [{ rope_scaling: { type: "linear" } }, "ERR_CHECKPOINT", /c\.json: rope: factor is missing, a positive number/],
    [{ hidden_size: undefined }, "ERR_CHECKPOINT", /c\.json: hidden_size is missing, a whole number from 1 to \d+ is wanted/],
    [{ vocab_size: "320" }, "ERR_CHECKPOINT", /vocab_size is "320"/],
    [{ num_key_value_heads: 3 }, "ERR_CHECKPOINT", /num_key_value_heads is 3, a divisor of num_attention_heads \(4\)/],
    [{ hidden_size: 66 }, "ERR_CHECKPOINT", /head_dim/],
    [{ head_dim: 15 }, "ERR_CHECKPOINT", /head_dim is 15, an even number/],
    [{ rms_norm_eps: 0 }, "ERR_CHECKPOINT", /rms_norm_eps is 0/],
    [{ tie_word_embeddings: "yes" }, "ERR_CHECKPOINT", /tie_word_embeddings is "yes"/],
  ])("%j is refused", (change, code, message) => {
    expect(() => parseModelConfig({ ...llama, ...change }, "c.json")).toThrow(message);
    expect(() => parseModelConfig({ ...llama, ...change }, "c.json")).toThrow(expect.objectContaining({ code }));
  });
});

describe("writing config.json", () => {
  const scaled = { ...llama, rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4,
    original_max_position_embeddings: 512 } };
  const modern = { ...qwen3, layer_types: ["full_attention", "full_attention"], dtype: "bfloat16",
    rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 1e6 } };

  test.each<[string, object]>([
    ["llama", llama], ["llama, scaled", scaled], ["mistral", mistral],
    ["mistral, no window", { ...mistral, sliding_window: null }],
    ["qwen2", qwen2], ["qwen2, all sliding", { ...qwen2, use_sliding_window: true, max_window_layers: 0 }],
    ["qwen3", qwen3], ["qwen3 of transformers 5", modern],
  ])("%s is read back the same, with and without its source", (_name, source) => {
    const config = parseModelConfig(source as never);
    expect(parseModelConfig(modelConfigJson(config, "float32", source as never))).toEqual(config);
    expect(parseModelConfig(modelConfigJson(config, "float32"))).toEqual(config);
  });

  test("unknown keys and the class are kept, the number format is set in every spelling the source has", () => {
    const json = modelConfigJson(parseModelConfig(modern), "float32", { ...modern, my_key: [1] });
    expect(json).toMatchObject({
      my_key: [1], architectures: ["Qwen3ForCausalLM"], torch_dtype: "float32", dtype: "float32",
      rope_theta: 1e6, rope_scaling: { rope_type: "linear", factor: 4 },
      rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 1e6 },
    });
    const noWindow = { ...mistral, sliding_window: null };
    expect(modelConfigJson(parseModelConfig(noWindow), "bfloat16", noWindow))
      .toMatchObject({ architectures: ["MistralForCausalLM"], model_type: "mistral", torch_dtype: "bfloat16" });
    expect(modelConfigJson(parseModelConfig(noWindow), "bfloat16"))
      .toMatchObject({ architectures: ["LlamaForCausalLM"] });
  });

  test("a decoder no class computes is refused", () => {
    expect(() => modelConfigJson({ ...parseModelConfig(qwen3), attentionBias: true }, "float32"))
      .toThrow(/no Hugging Face class/);
  });
});
