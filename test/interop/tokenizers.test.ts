// Tokenizers and transformers: what we train or convert, AutoTokenizer reads and splits alike; what it saved, with chat
// template and special tokens, we read alike.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { renderChat } from "../../src/text/chat-template";
import { trainBpe } from "../../src/text/bpe-trainer";
import { loadTokenizer } from "../../src/text/convert";
import { Tokenizer } from "../../src/text/tokenizer";
import { sharedPath, testWith } from "../data/shared";
import { describeWith } from "./python";

interface Encoded {
  plain: number[][];
  special: number[][];
  decoded: string[];
  bos: number | null;
  eos: number | null;
  length: number;
}

const texts = [
  "Once upon a time, there was a little girl named Lily.", "", " ", "a", "  two  spaces\n\n\ttab \n", "x = 12345.67 + 8 % 9",
  "naïve café Ünïcödé 中文 😀👩‍👩‍👧", "I'LL say it's \"fine\"; they've don't", "Let's think step by step.\nQ: 7×8?\r\nA:56",
  "<s>not a start</s>", "end<|end|>next", "tail space ", "e\u0301 combining, \u00a0nbsp, zero\u200bwidth", "{'json': [1, 2, null]}",
];

const root = mkdtempSync(join(tmpdir(), "selfrefine-interop-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const words = "The cat has 12 apples and eats 5 of them. How many are left? 12 - 5 = 7. It's 7, isn't it? They'll see.";
const sources: [string, string[], () => Promise<Tokenizer>][] = [
  ...([true, false] as const).map((splitDigits): (typeof sources)[number] => [
    `trained, digits ${splitDigits ? "apart" : "together"}`, [], async () => {
      const made = trainBpe([words, words], { vocabSize: 320, splitDigits, specialTokens: ["<|end|>"] });
      return Tokenizer.fromJson(made.tokenizer, made.tokenizerConfig);
    },
  ]),
  ...([
    ["Llama-2's tokenizer.model", sharedPath("tokenizers", "llama-2-sentencepiece", "tokenizer.model")],
    ["llama2.c's tok512.bin", sharedPath("stories260K", "tok512.bin")],
    ["torchtune's tokenizer.json", sharedPath("tokenizers", "torchtune-tests", "tokenizer.json")],
  ] as const).map(([name, path]): (typeof sources)[number] => [name, [path], () => loadTokenizer(path)]),
];

describeWith("AutoTokenizer", ["torch", "transformers", "tokenizers"], (python) => {
  async function expectAlike(tokenizer: Tokenizer, directory: string): Promise<void> {
    const there = await python.call<Encoded>("encode", { directory, texts });
    texts.forEach((text, i) => {
      expect([text, tokenizer.encode(text)]).toEqual([text, there.plain[i]]);
      expect([text, tokenizer.encode(text, { addSpecialTokens: true })]).toEqual([text, there.special[i]]);
      expect([text, tokenizer.decode(there.plain[i]!)]).toEqual([text, there.decoded[i]]);
    });
    expect([there.bos, there.eos, there.length]).toEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.vocabSize]);
  }

  for (const [name, paths, make] of sources) {
    testWith(`${name}: ids, special tokens and texts are equal`, paths, async () => {
      const directory = join(root, name.replaceAll(/\W+/g, "-"));
      const tokenizer = await make();
      await tokenizer.save(directory);
      await expectAlike(tokenizer, directory);
    });
  }

  test("one that transformers saved: ids, texts, and conversations by its chat template", async () => {
    await python.call("write_tokenizer", { directory: join(root, "theirs") });
    const tokenizer = await Tokenizer.load(join(root, "theirs"));
    await expectAlike(tokenizer, join(root, "theirs"));
    await tokenizer.save(join(root, "ours"));
    const messages = [
      { role: "system", content: "Be brief." }, { role: "user", content: "2 + 2?" }, { role: "assistant", content: "4" },
    ];
    for (const directory of [join(root, "theirs"), join(root, "ours")]) {
      const rendered = await python.call<string[]>("chat", { directory, messages });
      expect([false, true].map((addGenerationPrompt) => renderChat(tokenizer, messages, { addGenerationPrompt })))
        .toEqual(rendered);
    }
  });
});
