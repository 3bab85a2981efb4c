// The README's program, run as it stands: what a reader copies must work.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { Model } from "../../src/model";
import { trainBpe } from "../../src/text/bpe-trainer";
import { Tokenizer } from "../../src/text/tokenizer";

const root = resolve(__dirname, "../..");
const home = mkdtempSync(join(tmpdir(), "selfrefine-readme-"));

afterAll(() => rmSync(home, { recursive: true, force: true }));

async function writeStudent(directory: string): Promise<void> {
  const { tokenizer, tokenizerConfig } = trainBpe(["Tom has 3 pens. The answer is 3."], { vocabSize: 270 });
  const text = Tokenizer.fromJson(tokenizer, tokenizerConfig);
  const model = await Model.create({
    model_type: "llama", vocab_size: text.vocabSize, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
    num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 1e4,
    tie_word_embeddings: true, max_position_embeddings: 1024,
  }, text);
  await model.save(directory);
  model.dispose();
}

test("the README's program trains a model and saves it; it says why DPO was not run", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const program = /```js\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(program).toContain("selfRefine");
  mkdirSync(join(home, "node_modules"));
  symlinkSync(root, join(home, "node_modules", "selfrefine"));
  await writeStudent(join(home, "student"));
  writeFileSync(join(home, "program.mjs"), program as string);
  const run = (...args: string[]) => spawnSync(process.execPath, args, { cwd: home, encoding: "utf8" });
  expect(run("program.mjs").stderr).toContain("Model.load: path is undefined, wanted the directory of a model");
  const { status, stdout, stderr } = run("program.mjs", "student");
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^sft 1 \d/);
  // Samples of one token have no end, and are in no pair.
  writeFileSync(join(home, "short.mjs"), String(program).replace("max_new_tokens: 64", "max_new_tokens: 1"));
  const short = run("short.mjs", "student");
  expect([short.status, short.stdout]).toEqual([0, expect.not.stringContaining("dpo")]);
  expect(short.stderr).toMatch(new RegExp("^dpo: no preference pairs: of 200 questions 0 were answered right by every "
    + "sample and 0 wrong by every sample, .*, (\\d+) of \\1 samples cut by the length limit; .*raise `sample.max_new_tokens`"));
  expect(readdirSync(join(home, "refined"))).toEqual(expect.arrayContaining(["config.json", "model.safetensors"]));
}, 120_000);
