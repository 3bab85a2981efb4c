// Every verb that reads a model ends alike for one that it cannot read, whatever is wrong with it.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { EXIT, exitCodeOf } from "../../src/cli/exit-codes";
import { SelfRefineError } from "../../src/errors";
import { selfrefine, temporary } from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);
const at = (name: string): string => join(place.path, name);

const WORDS = { a: 0, b: 1, "</s>": 2 };
const TOKENIZER = {
  model: { type: "BPE", vocab: WORDS, merges: [] },
  decoder: { type: "ByteLevel" },
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
};

beforeAll(() => {
  for (const name of ["no-weights", "no-tokenizer", "strange"]) {
    cpSync(join(__dirname, "..", "fixtures", "llama-tied"), at(name), { recursive: true });
    if (name !== "no-tokenizer") writeFileSync(join(at(name), "tokenizer.json"), JSON.stringify(TOKENIZER));
  }
  rmSync(join(at("no-weights"), "model.safetensors"));
  const config = JSON.parse(readFileSync(join(at("strange"), "config.json"), "utf8")) as object;
  writeFileSync(join(at("strange"), "config.json"), JSON.stringify({ ...config, model_type: "mamba" }));
  mkdirSync(at("empty"));
  writeFileSync(at("rows.jsonl"), '{"prompt":"a","completion":"b"}\n');
  writeFileSync(at("pairs.jsonl"), '{"prompt":"a","chosen":"b","rejected":"a"}\n');
});

const output = ["--output", "out"];
const questions = ["--task", "wordproblems", "--limit", "1"];
const VERBS = {
  sft: ["--train", "rows.jsonl", ...output],
  dpo: ["--train", "pairs.jsonl", ...output],
  sample: [...questions, ...output],
  eval: [...questions, ...output],
};

describe.each(Object.entries(VERBS))("%s", (verb, args) => {
  test.each(["empty", "no-weights", "no-tokenizer", "strange"])("a model that is %s is a bad checkpoint", async (model) => {
    const { code, stderr } = await selfrefine([verb, "--model", model, "--device", "cpu", ...args], { cwd: place.path });
    expect([code, stderr]).toEqual([EXIT.data, expect.stringMatching(/^error \[ERR_(CHECKPOINT|UNSUPPORTED)\]: .*\n$/)]);
  });
});

test("what is not supported is the file's fault where it names one, else this machine's", () => {
  expect(exitCodeOf(new SelfRefineError("ERR_UNSUPPORTED", "m", { path: "config.json" }))).toBe(EXIT.data);
  expect(exitCodeOf(new SelfRefineError("ERR_UNSUPPORTED", "no GPU"))).toBe(EXIT.failure);
});
