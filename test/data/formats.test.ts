// The record schemas of TRL and Alpaca, and the message each malformed record gets.
import { describe, expect, test } from "@jest/globals";
import { parsePairRecord, parseSftRecord } from "../../src/data/formats";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

describe("records to learn from", () => {
  test("prompt and completion, as text and as messages", () => {
    expect(parseSftRecord({ prompt: "p", completion: "c", id: 1 }, "f:1")).toEqual({ prompt: "p", completion: "c" });
    expect(parseSftRecord({ prompt: [user("q")], completion: [assistant("a")] }, "f:1"))
      .toEqual({ prompt: [user("q")], completion: [assistant("a")] });
  });

  test("messages: the last assistant turn is learned", () => {
    const messages = [{ role: "system", content: "s" }, user("q1"), assistant("a1"), user("q2"), assistant("a2")];
    expect(parseSftRecord({ messages }, "f:1"))
      .toEqual({ prompt: messages.slice(0, 4), completion: [assistant("a2")] });
  });

  test("Alpaca's fields, the input optional", () => {
    expect(parseSftRecord({ instruction: "i", input: "x", output: "o" }, "f:1"))
      .toEqual({ instruction: "i", input: "x", output: "o" });
    expect(parseSftRecord({ instruction: "i", output: "o" }, "f:1"))
      .toEqual({ instruction: "i", input: "", output: "o" });
  });

  test("plain text is all completion", () => {
    expect(parseSftRecord({ text: "t" }, "f:1")).toEqual({ prompt: "", completion: "t" });
  });

  test.each([
    [{ prompt: 1, completion: "c" }, /d\.jsonl:7: field "prompt": a string or a list of messages is wanted, got 1/],
    [{ completion: "c" }, /d\.jsonl:7: field "prompt": .* got nothing/],
    [{ prompt: "p", completion: [assistant("a")] }, /d\.jsonl:7: fields "prompt" and "completion" are of two forms/],
    [{ prompt: [{ role: "user" }], completion: [] }, /d\.jsonl:7: field "prompt\[0\]\.content": a string is wanted/],
    [{ messages: [user("q")] }, /d\.jsonl:7: field "messages": a conversation that ends with the assistant's turn/],
    [{ instruction: "i" }, /d\.jsonl:7: field "output": a string is wanted, got nothing/],
    [{ question: "q" }, /d\.jsonl:7: none of .*the record has question$/],
    [{ prompt: "p", chosen: "y", rejected: "n" }, /d\.jsonl:7: none of .*: a preference pair, which is for dpo$/],
    [[1], /d\.jsonl:7: a JSON object is wanted, got \[1\]/],
  ])("%j is refused", (value, message) => {
    expect(() => parseSftRecord(value, "d.jsonl:7")).toThrow(message);
  });
});

describe("preference pairs", () => {
  test("a record to learn from is told what makes pairs", () => {
    expect(() => parsePairRecord({ prompt: "p", completion: "c" }, "d.jsonl:7"))
      .toThrow(/d\.jsonl:7: no preference pair: .* has prompt, completion; .* are for sft, and pairs are made by .* pairs$/);
  });

  test("with a prompt, as text and as messages", () => {
    expect(parsePairRecord({ prompt: "p", chosen: "y", rejected: "n" }, "f:1"))
      .toEqual({ prompt: "p", chosen: "y", rejected: "n" });
    const pair = { prompt: [user("q")], chosen: [assistant("y")], rejected: [assistant("n")] };
    expect(parsePairRecord(pair, "f:1")).toEqual(pair);
  });

  test("implicit prompt: the shared turns, or the shared text without its last space", () => {
    expect(parsePairRecord({ chosen: [user("q"), assistant("y")], rejected: [user("q"), assistant("n")] }, "f:1"))
      .toEqual({ prompt: [user("q")], chosen: [assistant("y")], rejected: [assistant("n")] });
    expect(parsePairRecord({ chosen: "The sky is blue.", rejected: "The sky is green." }, "f:1"))
      .toEqual({ prompt: "The sky is", chosen: " blue.", rejected: " green." });
    // Two emoji with the same first half: the pair of code units is not torn apart.
    expect(parsePairRecord({ chosen: "a😀", rejected: "a😁" }, "f:1")).toMatchObject({ prompt: "a", chosen: "😀" });
  });

  test.each([
    [{ chosen: "abc", rejected: "abcd" }, /f:3: no prompt is given and one of "chosen" and "rejected" is the beginning/],
    [{ chosen: "abc", rejected: "abc" }, /f:3: "chosen" and "rejected" are the same/],
    [{ prompt: "p", chosen: "y", rejected: "y" }, /f:3: "chosen" and "rejected" are the same, so nothing is preferred/],
    [{ prompt: [user("q")], chosen: [assistant("y")], rejected: [assistant("y")] }, /"chosen" and "rejected" are the same/],
    [{ prompt: "p", chosen: "y" }, /f:3: field "rejected": .* got nothing/],
    [{ prompt: "p", chosen: [assistant("y")], rejected: [assistant("n")] }, /fields "prompt" and "chosen" are of two/],
  ])("%j is refused", (value, message) => {
    expect(() => parsePairRecord(value, "f:3")).toThrow(message);
  });
});
