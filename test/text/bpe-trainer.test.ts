// The trainer against BPE as its definition says, and its files against the library that reads them.
import { describe, expect, test } from "@jest/globals";
import { TokenizerEngine } from "../../src/text/libraries";
import { trainBpe } from "../../src/text/bpe-trainer";
import { BYTE_TO_CHAR } from "../../src/text/token-bytes";
import { Tokenizer } from "../../src/text/tokenizer";
import { splitWords } from "../../src/text/words";

const TEXT = ("the cat sat on the mat; the cats' hats sat flat.\n\nIt's 12345 times the hat: don't, can't, 99.5% "
  + "aaaa aaaaaaa banana bananas ananas — naïve café 北京 北京市 😀😀\n").repeat(3);
const STRANGE = ["Hello  world\n\n 123 it's é中文 😀 don't \t x", "   ", "", "a", "\n", "12.5%, $3,000  7   x  8\n\n9's",
  "\u0000\u00ad\u007f", "e\u0301 ﬁ Ⅷ ½ ٣٤", "a\ud800b"];

function train(vocabSize: number, splitDigits = true) {
  const { tokenizer, tokenizerConfig } = trainBpe([TEXT, "the end of the text"], { vocabSize, splitDigits });
  return Tokenizer.fromJson(tokenizer, tokenizerConfig);
}

/** BPE as its definition says: count all pairs, merge the commonest (ties: smallest ids), count again. */
function mergesByDefinition(texts: string[], vocabSize: number): string[] {
  const alphabet = [...BYTE_TO_CHAR].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const vocabulary = ["<s>", "</s>", ...alphabet];
  const counts = new Map<string, number>();
  for (const word of texts.flatMap((text) => splitWords(text, true))) counts.set(word, (counts.get(word) ?? 0) + 1);
  const words = [...counts].map(([word, count]) => ({
    ids: [...Buffer.from(word)].map((byte) => vocabulary.indexOf(BYTE_TO_CHAR[byte]!)), count,
  }));
  const merges: string[] = [];
  while (vocabulary.length < vocabSize) {
    const pairs = new Map<string, { left: number; right: number; count: number }>();
    for (const { ids, count } of words) {
      for (let i = 0; i + 1 < ids.length; i++) {
        const [left, right] = [ids[i]!, ids[i + 1]!];
        const pair = pairs.get(`${left} ${right}`) ?? { left, right, count: 0 };
        pair.count += count;
        pairs.set(`${left} ${right}`, pair);
      }
    }
    const best = [...pairs.values()].sort((a, b) => b.count - a.count || a.left - b.left || a.right - b.right)[0];
    if (!best || best.count < 2) break;
    const token = vocabulary[best.left]! + vocabulary[best.right]!;
    if (!vocabulary.includes(token)) vocabulary.push(token);
    merges.push(`${vocabulary[best.left]} ${vocabulary[best.right]}`);
    for (const word of words) {
      const next: number[] = [];
      for (let i = 0; i < word.ids.length; i++) {
        const hit = word.ids[i] === best.left && word.ids[i + 1] === best.right;
        next.push(hit ? vocabulary.indexOf(token) : word.ids[i]!);
        if (hit) i++;
      }
      word.ids = next;
    }
  }
  return merges;
}

describe("trainBpe", () => {
  test("the merges are those of the definition", () => {
    const { tokenizer } = trainBpe([TEXT], { vocabSize: 330 });
    const learned = (tokenizer.model as { merges: string[] }).merges;
    expect(learned.length).toBeGreaterThan(60);
    expect(learned).toEqual(mergesByDefinition([TEXT], 330));
  });

  test("every text decodes to itself and its bytes are its tokens' bytes", () => {
    const tokenizer = train(320);
    for (const text of [...STRANGE, TEXT]) {
      const ids = tokenizer.encode(text);
      const whole = text.replace("\ud800", "\ufffd"); // half a character has no UTF-8
      expect(tokenizer.decode(ids)).toBe(whole);
      expect(tokenizer.decodeContinuation(ids)).toBe(whole);
      expect(tokenizer.encodeContinuation(text)).toEqual(ids);
    }
  });

  test("splits text where the pre-tokenizer in tokenizer.json does", () => {
    for (const splitDigits of [true, false]) {
      const { tokenizer, tokenizerConfig } = trainBpe([TEXT], { vocabSize: 300, splitDigits });
      const engine = new TokenizerEngine(tokenizer, tokenizerConfig);
      // Only ASCII and common digits: the library's Digits knows no others.
      for (const text of [TEXT, ...STRANGE.slice(0, 7)]) {
        const expected = splitWords(text, splitDigits)
          .map((word) => [...Buffer.from(word)].map((byte) => BYTE_TO_CHAR[byte]).join(""));
        const pieces = text === "" ? [] : engine.pre_tokenizer!(text, {});
        expect(pieces).toEqual(expected);
      }
    }
  });

  test("the memory of words gives the ids the library gives", () => {
    for (const splitDigits of [true, false]) {
      const { tokenizer, tokenizerConfig } = trainBpe([TEXT], { vocabSize: 320, splitDigits, specialTokens: ["<s>x"] });
      const engine = new TokenizerEngine(tokenizer, tokenizerConfig);
      const remembering = Tokenizer.fromJson(tokenizer, tokenizerConfig);
      const texts = [TEXT, ...STRANGE.slice(0, 7), "<s>the</s> <s>x cat<s> ", "</s>", " <s>", TEXT];
      for (const text of texts) {
        expect(remembering.encode(text)).toEqual(engine.encode(text, { add_special_tokens: false }).ids);
      }
      expect(remembering.encode("<s>x")).toEqual([2]);
    }
  });

  test("digits are tokens of their own, or not", () => {
    expect(train(400, true).encode("12345").length).toBe(5);
    expect(train(400, false).encode("12345").length).toBeLessThan(5);
  });

  test("the same input gives the same bytes; special tokens come first", () => {
    const first = trainBpe([TEXT], { vocabSize: 320, specialTokens: ["<pad>"] });
    expect(JSON.stringify(trainBpe([TEXT], { vocabSize: 320, specialTokens: ["<pad>"] }))).toBe(JSON.stringify(first));
    const tokenizer = Tokenizer.fromJson(first.tokenizer, first.tokenizerConfig);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.tokenId("<pad>"), tokenizer.vocabSize]).toEqual([0, 1, 2, 320]);
    expect(tokenizer.addsBos).toBe(true);
    expect(tokenizer.encode("x", { addSpecialTokens: true })[0]).toBe(0);
  });

  test("a text with too few pairs gives a smaller vocabulary; impossible wishes are errors", () => {
    const { tokenizer } = trainBpe(["ab ab"], { vocabSize: 1000 });
    expect(Object.keys((tokenizer.model as { vocab: object }).vocab)).toHaveLength(259); // "ab"; " ab" occurs once
    expect(() => trainBpe(["x"], { vocabSize: 257 })).toThrow(/vocabSize is 257: an integer from 258/);
    expect(() => trainBpe([], { vocabSize: 300 })).toThrow(/no text/);
    expect(() => trainBpe(["x"], { vocabSize: 300, eosToken: "a" })).toThrow(/special token "a"/);
  });
});
