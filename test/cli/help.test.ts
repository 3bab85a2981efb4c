// What help says of the options, and words that depend on a number or on who reads.
import { join } from "node:path";
import { afterAll, expect, jest, test } from "@jest/globals";
import { sayDevice } from "../../src/cli/common";
import { makeContext } from "../../src/cli/context";
import { VERBS } from "../../src/cli/verbs";
import { Terminal } from "../../src/report/terminal";
import { selfrefine, temporary } from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

const helpOf = async (verb: string): Promise<string> => (await selfrefine([verb, "--help"])).stdout.replace(/\s+/g, " ");

test("options that take a number are shown as such, and what is no number is still told as it was given", async () => {
  const help = await helpOf("sft");
  for (const flag of ["--learning-rate", "--seed", "--lora-r", "--threads"]) {
    expect(help).toMatch(new RegExp(`${flag} (?:(?! --).)*\\[number\\]`));
  }
  expect(help).toMatch(/--model (?:(?! --).)*\[string\]/);
  const { code, stderr } = await selfrefine(["sft", "--model", "m", "--train", "t", "--output", "o", "--learning-rate", "x"]);
  expect([code, stderr]).toEqual([2, expect.stringContaining('--learning-rate is "x", wanted a number')]);
});

test("--json speaks of --seeds where there is one, and the device of a run says which wins", async () => {
  expect(VERBS.filter(({ flags }) => "seeds" in flags).map(({ name }) => name)).toEqual(["quickstart", "run"]);
  expect(await helpOf("eval")).not.toContain("--seeds");
  const help = await helpOf("run");
  expect(help).toContain("finished (with --seeds: seeds)");
  expect(help).toMatch(/--device where to compute; given, it wins over the file's model\.device/);
});

test("one is not many", async () => {
  const output = join(place.path, "demos.jsonl");
  const { code, stdout } = await selfrefine(["demos", "--task", "wordproblems", "--limit", "1", "--output", output]);
  expect([code, stdout]).toEqual([0, expect.stringContaining(": 1 demonstration of 1 of 1 question; 1 of 1 answer right")]);
});

test.each([[false, 1], [true, 0]])("what auto took is said to people: with --json %s, %d lines", (json, lines) => {
  let written = "";
  const terminal = new Terminal({ write: (text: string) => (written += text).length > 0 }, { quiet: false });
  const context = makeContext({ json, quiet: false, debug: false }, new AbortController().signal);
  sayDevice("auto", { ...context, terminal });
  expect(written.split("\n").length - 1).toBe(lines);
});
