// What decides a stage is in its key, wherever it was said: else a run would take what was computed for another.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "@jest/globals";
import { parseRunConfig } from "../../src/config/run-file";
import { RunContext } from "../../src/run/context";
import { loadQuestions } from "../../src/run/questions";
import { demosStage } from "../../src/run/stages/demos";
import { StageStore } from "../../src/run/store";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-keys-"));
afterAll(() => rmSync(directory, { recursive: true }));

const VARIABLES = ["OPENAI_MODEL", "OPENAI_BASE_URL"] as const;
const before = VARIABLES.map((name) => process.env[name]);
afterEach(() => VARIABLES.forEach((name, i) => {
  if (before[i] === undefined) delete process.env[name];
  else process.env[name] = before[i];
}));

async function demosKey(teacher: { model?: string; base_url?: string }): Promise<string> {
  const config = parseRunConfig({
    student: { from_scratch: {} }, tasks: { train: { task: "wordproblems" } }, wordproblems: { train: 3, test: 1 },
    teacher: { kind: "openai", ...teacher },
  });
  const context = new RunContext(config, new StageStore(directory), {});
  const { value } = await demosStage(context, await loadQuestions(config)).next();
  return (value as { key: string }).key;
}

test("a teacher named by the environment is another teacher when the environment names another", async () => {
  process.env["OPENAI_MODEL"] = "small";
  process.env["OPENAI_BASE_URL"] = "http://one/v1";
  const key = await demosKey({});
  expect(await demosKey({ model: "small", base_url: "http://one/v1" })).toBe(key);
  process.env["OPENAI_MODEL"] = "large";
  const other = await demosKey({});
  expect(other).not.toBe(key);
  expect(await demosKey({ model: "small" })).toBe(key);
  process.env["OPENAI_BASE_URL"] = "http://two/v1";
  expect(await demosKey({})).not.toBe(other);
});
