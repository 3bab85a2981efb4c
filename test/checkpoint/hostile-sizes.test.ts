// Files that claim more layers than any model has: refused before anything of that size is laid out.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { parseModelConfig } from "../../src/checkpoint/huggingface";
import { readLlama2c } from "../../src/checkpoint/llama2c";

const home = mkdtempSync(join(tmpdir(), "selfrefine-sizes-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const config = {
  architectures: ["LlamaForCausalLM"], model_type: "llama", vocab_size: 64, hidden_size: 16, intermediate_size: 32,
  num_attention_heads: 2, num_key_value_heads: 1, rms_norm_eps: 1e-5, max_position_embeddings: 64,
};

test.each([30_000_000, 9e12])("config.json with %d layers", (layers) => {
  expect(() => parseModelConfig({ ...config, num_hidden_layers: layers }, "c.json"))
    .toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT", message: expect.stringMatching(/c\.json: num_hidden_layers/) }));
  expect(parseModelConfig({ ...config, num_hidden_layers: 4 }, "c.json").numHiddenLayers).toBe(4);
});

test("a llama2.c header of 28 bytes with 16 million layers", async () => {
  const path = join(home, "huge.bin");
  writeFileSync(path, Buffer.from(Int32Array.of(2, 1, 16777215, 1, 1, 2, 1).buffer));
  await expect(readLlama2c(path)).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
});
