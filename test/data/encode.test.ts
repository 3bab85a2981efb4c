// Records to ids: length limits that are never silent, and an audit that finds each fault alone.
import { describe, expect, test } from "@jest/globals";
import { auditExamples, auditMessages, enforceAudit } from "../../src/data/audit";
import { encodePairs, encodeSft } from "../../src/data/encode";
import { parsePairRecord, parseSftRecord } from "../../src/data/formats";
import { readRecords } from "../../src/data/table";
import { trainBpe } from "../../src/text/bpe-trainer";
import { Tokenizer } from "../../src/text/tokenizer";
import { sharedPath, testWith } from "./shared";

const CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
  + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

function make(config: object = {}): Tokenizer {
  const { tokenizer, tokenizerConfig } = trainBpe(["the answer the answer is user assistant"],
    { vocabSize: 290, specialTokens: ["<|im_start|>", "<|im_end|>"] });
  return new Tokenizer({
    tokenizer, tokenizerConfig: { ...tokenizerConfig, ...config }, generationConfig: {}, modelConfig: {},
    chatTemplate: CHATML,
  });
}

const tokenizer = make();
const sft = (value: object, name = "f:1") => ({ record: parseSftRecord(value, name), name });
const pair = (value: object, name = "f:1") => ({ record: parsePairRecord(value, name), name });
const decode = (ids: readonly number[], using = tokenizer) => using.decode(ids, { skipSpecialTokens: false });

describe("encodeSft", () => {
  test("text, instruction and conversation", () => {
    const chat = make({ eos_token: "<|im_end|>", add_bos_token: false });
    const { examples } = encodeSft(tokenizer, [
      sft({ prompt: "q:", completion: " the answer" }),
      sft({ instruction: "Say.", output: "the answer" }),
    ], { template: "plain", trigger: true });
    expect(decode(examples[0]!.promptIds)).toBe("<s>q:");
    expect(decode(examples[0]!.completionIds)).toBe(" the answer</s>");
    expect(decode(examples[1]!.promptIds)).toBe("<s>Say.\nAnswer: Let's think step by step.\n");
    const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }];
    const [turn] = encodeSft(chat, [sft({ messages })]).examples;
    expect(decode(turn!.promptIds, chat)).toBe("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    expect(decode(turn!.completionIds, chat)).toBe("a<|im_end|>");
  });

  test("over-long rows: an error that names the row, a cut, or left out; never silent", () => {
    const rows = [sft({ prompt: "ab", completion: "cdefgh" }, "d:1"), sft({ prompt: "a", completion: "b" }, "d:2"),
      sft({ prompt: "abcdefgh", completion: "x" }, "d:3")];
    expect(() => encodeSft(tokenizer, rows, { maxLength: 6 }))
      .toThrow(/d:1: 3 prompt \+ 7 completion tokens, the limit is 6 \(`max_length`.*choose `overlong` truncate or drop/);
    const cut = encodeSft(tokenizer, rows, { maxLength: 6, overlong: "truncate" });
    expect([cut.truncated, cut.dropped]).toEqual([1, ["d:3"]]);
    expect(cut.examples.map(({ name, truncatedTokens }) => [name, truncatedTokens])).toEqual([["d:1", 4], ["d:2", 0]]);
    expect(decode(cut.examples[0]!.completionIds)).toBe("cde");
    const left = encodeSft(tokenizer, rows, { maxLength: 6, overlong: "drop" });
    expect([left.examples.length, left.truncated, left.dropped]).toEqual([1, 0, ["d:1", "d:3"]]);
  });
});

describe("encodePairs", () => {
  test("both completions follow the same prompt ids", () => {
    const [example] = encodePairs(tokenizer, [pair({ prompt: "q:", chosen: "yes", rejected: "no" })]).examples;
    expect(decode(example!.promptIds)).toBe("<s>q:");
    expect([decode(example!.chosenIds), decode(example!.rejectedIds)]).toEqual(["yes</s>", "no</s>"]);
  });

  test("conversations, the prompt implicit", () => {
    const chat = make({ eos_token: "<|im_end|>", add_bos_token: false });
    const turns = (content: string) => [{ role: "user", content: "q" }, { role: "assistant", content }];
    const [example] = encodePairs(chat, [pair({ chosen: turns("yes"), rejected: turns("no") })]).examples;
    expect(decode(example!.promptIds, chat)).toBe("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    expect([example!.chosenIds, example!.rejectedIds].map((ids) => decode(ids, chat)))
      .toEqual(["yes<|im_end|>", "no<|im_end|>"]);
  });

  test("the limit holds for the longer completion; both are cut to the same room", () => {
    const rows = [pair({ prompt: "ab", chosen: "cdefgh", rejected: "c" }, "p:1")];
    const { examples, truncated } = encodePairs(tokenizer, rows, { maxLength: 6, overlong: "truncate" });
    expect(truncated).toBe(1);
    const { chosenIds, rejectedIds, truncatedTokens } = examples[0]!;
    expect([chosenIds.length, rejectedIds.length, truncatedTokens]).toEqual([3, 2, 4]);
    expect(() => encodePairs(tokenizer, rows, { maxLength: 6 })).toThrow(/p:1: 3 prompt \+ 7/);
  });
});

describe("audit", () => {
  const example = (promptIds: number[], completionIds: number[], more: object = {}) => (
    { promptIds, completionIds, name: "r", boundaryMerge: false, truncatedTokens: 0, ...more });

  test("clean data has no findings, and its shares are counted", () => {
    const { examples } = encodeSft(tokenizer, [sft({ prompt: "abc", completion: "def" })]);
    const report = auditExamples(tokenizer, examples);
    expect(auditMessages(report)).toEqual([]);
    expect(report).toMatchObject({ sequences: 1, tokens: 8, scoredTokens: 4, maskedShare: 0.5, longest: 8 });
    expect(() => enforceAudit(report, "error", () => expect(true).toBe(false))).not.toThrow();
  });

  test.each<[string, ReturnType<typeof example>]>([
    ["missing_bos", example([10, 11], [12, 1])],
    ["double_bos", example([0, 0, 10], [12, 1])],
    ["double_bos", example([0, 10], [0, 12, 1])],
    ["missing_eos", example([0, 10], [12])],
    ["inner_eos", example([0, 10], [12, 1, 13, 1])],
    ["empty_completion", example([0, 10], [1])],
    ["boundary_merge", example([0, 10], [12, 1], { boundaryMerge: true })],
    ["truncated", example([0, 10], [12, 1], { truncatedTokens: 3 })],
    ["truncated", example([0, 10], [12], { truncatedTokens: 3 })], // its EOS was cut off by the policy that was asked for
  ])("%s is found, alone", (issue, row) => {
    const report = auditExamples(tokenizer, [row, example([0, 10], [12, 1])]);
    const found = Object.entries(report.issues).filter(([, { count }]) => count > 0);
    expect(found).toEqual([[issue, { count: 1, offenders: ["r"] }]]);
    expect(auditMessages(report)).toEqual([`${issue}: 1 of 2 sequences (r)`]);
  });

  test("a vocabulary without EOS, whose completions cannot end, is a missing EOS of every row", () => {
    const { tokenizer: json, tokenizerConfig } = tokenizer.source;
    const endless = Tokenizer.fromJson(json, { ...tokenizerConfig, eos_token: null });
    const { examples } = encodeSft(endless, [sft({ prompt: "a", completion: "b" }, "r")]);
    expect(endless.eosId).toBeNull();
    expect(auditMessages(auditExamples(endless, examples))).toEqual(["missing_eos: 1 of 1 sequences (r)"]);
  });

  test("both completions of a pair are looked at", () => {
    const ids = { promptIds: [0, 10], chosenIds: [12, 1], rejectedIds: [1] };
    const row = { ...ids, name: "p", boundaryMerge: false, truncatedTokens: 0, rejectedTruncatedTokens: 0 };
    const report = auditExamples(tokenizer, [row]);
    expect(report.sequences).toBe(2);
    expect(report.issues.empty_completion).toEqual({ count: 1, offenders: ["p (rejected)"] });
  });

  test("serious faults end a run under the policy error, and are told under warn; the rest is always told", () => {
    const report = auditExamples(tokenizer, [example([0, 0, 1], [12]), example([0], [12, 1], { boundaryMerge: true })]);
    const told: string[] = [];
    expect(() => enforceAudit(report, "error", (line) => told.push(line)))
      .toThrow(/the data audit found faults[^]*double_bos: 1 of 2[^]*missing_eos: 1 of 2/);
    expect(told).toEqual(["boundary_merge: 1 of 2 sequences (r)"]);
    told.length = 0;
    enforceAudit(report, "warn", (line) => told.push(line));
    expect(told.map((line) => line.split(":")[0])).toEqual(["boundary_merge", "double_bos", "missing_eos"]);
  });

  const teacher = sharedPath("multiarith", "text-davinci-003-few-shot-cot.json");
  testWith("real demonstrations under the Alpaca template are clean", [teacher], async () => {
    const rows = await readRecords(teacher) as Record<string, string>[];
    const records = rows.map((row, index) => sft(
      { instruction: "Solve.", input: row.question, output: row["chain-of-thought"]!.trim() }, `row ${index + 1}`));
    const { tokenizer: json, tokenizerConfig } = trainBpe(
      rows.map((row) => `${row.question} ${row["chain-of-thought"]}`), { vocabSize: 600 });
    const trained = Tokenizer.fromJson(json, tokenizerConfig);
    const { examples } = encodeSft(trained, records, { maxLength: 1024 });
    const report = auditExamples(trained, examples);
    expect(report.sequences).toBe(600);
    expect(auditMessages(report)).toEqual([]);
  });
});
