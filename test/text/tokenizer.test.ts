// Special tokens, continuations, token bytes and directories; real vocabularies against published ids.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { convertTokenizer } from "../../src/text/convert";
import { Tokenizer } from "../../src/text/tokenizer";
import { trainBpe } from "../../src/text/bpe-trainer";
import { sharedPath, testWith } from "../data/shared";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-tokenizer-"));
afterAll(() => rmSync(directory, { recursive: true }));

const trained = trainBpe(["some words to learn, some more words"], { vocabSize: 280, specialTokens: ["<|im_end|>"] });
const LLAMA2 = sharedPath("tokenizers", "llama-2-sentencepiece", "tokenizer.model");
const TOK512 = sharedPath("stories260K", "tok512.bin");
const TORCHTUNE = sharedPath("tokenizers", "torchtune-tests", "tokenizer.json");

/** Bytes of the tokens of a text, joined. */
function joined(tokenizer: Tokenizer, ids: number[]): string {
  const { bytes, offsets } = tokenizer.tokenBytes();
  return Buffer.concat(ids.map((id) => bytes.subarray(offsets[id], offsets[id + 1]))).toString("utf8");
}

test.each([
  ["a number where pieces stand", [0x08, 0x01]],
  ["a number where a piece's text stands", [0x0a, 0x02, 0x08, 0x01]],
  ["a number where the trainer's options stand", [0x0a, 0x03, 0x0a, 0x01, 0x61, 0x10, 0x01]],
  ["a text where a score stands", [0x0a, 0x06, 0x0a, 0x01, 0x61, 0x12, 0x01, 0x61, 0x12, 0x02, 0x18, 0x02]],
  ["a number where the character map stands", [0x0a, 0x03, 0x0a, 0x01, 0x61, 0x12, 0x02, 0x18, 0x02, 0x1a, 0x02, 0x10, 0x01]],
])("a tokenizer.model with %s is refused by name", async (_what, bytes) => {
  const path = join(directory, "lies.model");
  writeFileSync(path, Uint8Array.from(bytes));
  await expect(convertTokenizer(path)).rejects.toMatchObject({
    code: "ERR_DATA", message: expect.stringContaining(`${path}: field `),
  });
});

describe("special tokens", () => {
  const make = (config: object, more: object = {}) => new Tokenizer({
    tokenizer: trained.tokenizer, tokenizerConfig: { ...trained.tokenizerConfig, ...config },
    generationConfig: {}, modelConfig: {}, chatTemplate: null, ...more,
  });

  test("from the tokenizer's config, as text or as an object; stop tokens from generation_config.json too", () => {
    const tokenizer = make({ eos_token: { content: "<|im_end|>" } }, { generationConfig: { eos_token_id: [1, 2] } });
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([0, 2, null]);
    expect(tokenizer.eosIds).toEqual([2, 1]);
  });

  test("from config.json where the tokenizer's config names none; BOS is not added when told so", () => {
    const modelConfig = { bos_token_id: 0, pad_token_id: 2 };
    const tokenizer = make({ bos_token: null, add_bos_token: false }, { modelConfig });
    expect([tokenizer.bosId, tokenizer.addsBos, tokenizer.padId]).toEqual([0, false, 2]);
    expect(make({}).addsBos).toBe(true);
  });

  test("a token that is not in the vocabulary is named", () => {
    expect(() => make({ eos_token: "<eos>" })).toThrow(/eos_token "<eos>" is not in the vocabulary/);
  });

  test("special tokens have no text and no bytes unless asked for; unknown ids have none at all", () => {
    const tokenizer = make({});
    const ids = [0, ...tokenizer.encode("some words"), 1, 99999];
    expect(tokenizer.decode(ids)).toBe("some words");
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe("<s>some words</s>");
    expect(tokenizer.decodeContinuation(ids)).toBe("some words");
    expect(tokenizer.decode([])).toBe("");
    const { bytes, offsets } = tokenizer.tokenBytes(300);
    expect(offsets).toHaveLength(301);
    expect([offsets[0], offsets[2], offsets[300]]).toEqual([0, 0, bytes.length]);
  });
});

describe("directories", () => {
  test("a chat template of a config in memory counts as one in a file does, and is saved", async () => {
    const config = { ...trained.tokenizerConfig, chat_template: "{{ messages[0].content }}" };
    const made = Tokenizer.fromJson(trained.tokenizer, config);
    expect(made.chatTemplate).toBe(config.chat_template);
    await made.save(join(directory, "chat"));
    expect((await Tokenizer.load(join(directory, "chat"))).chatTemplate).toBe(config.chat_template);
  });

  test("saved byte for byte; the fingerprint follows the vocabulary, not the formatting", async () => {
    const source = join(directory, "a");
    await Tokenizer.fromJson(trained.tokenizer, trained.tokenizerConfig).save(source);
    writeFileSync(join(source, "chat_template.jinja"), "{{ messages }}");
    writeFileSync(join(source, "tokenizer.json"), JSON.stringify(trained.tokenizer, null, 7));
    const loaded = await Tokenizer.load(source);
    expect(loaded.chatTemplate).toBe("{{ messages }}");
    await loaded.save(join(directory, "b"));
    for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]) {
      expect(readFileSync(join(directory, "b", name)).equals(readFileSync(join(source, name)))).toBe(true);
    }
    rmSync(source, { recursive: true });
    await loaded.save(join(directory, "c"));
    const again = await Tokenizer.load(join(directory, "c"));
    expect([again.fingerprint, again.chatTemplate]).toEqual([loaded.fingerprint, loaded.chatTemplate]);
    expect(loaded.fingerprint).toBe(Tokenizer.fromJson(trained.tokenizer, trained.tokenizerConfig).fingerprint);
    const other = trainBpe(["other words"], { vocabSize: 270 });
    expect(loaded.fingerprint).not.toBe(Tokenizer.fromJson(other.tokenizer, other.tokenizerConfig).fingerprint);
  });

  test("what is missing or broken is named", async () => {
    await expect(Tokenizer.load(join(directory, "none"))).rejects.toThrow(/none is no model: there is no such directory; check the path/);
    const { tokenizer } = trained;
    for (const [text, message] of [
      ["[]", /tokenizer\.json: a JSON object was expected/],
      ["{\"model\":", /tokenizer\.json: not valid JSON/],
      [JSON.stringify({ ...tokenizer, model: { type: "Strange" } }), /tokenizer\.json: cannot build the tokenizer/],
    ] as const) {
      writeFileSync(join(directory, "tokenizer.json"), text);
      await expect(Tokenizer.load(directory)).rejects.toThrow(message);
    }
  });

  test("a decoder whose tokens have no bytes of their own is refused where bytes are asked for", () => {
    const wordPiece = Tokenizer.fromJson({ ...trained.tokenizer, decoder: { type: "WordPiece", prefix: "##" } });
    expect(() => wordPiece.tokenBytes()).toThrow(/decoder WordPiece is not supported/);
  });
});

describe("published vocabularies", () => {
  testWith("Llama-2's tokenizer.model gives Llama-2's ids", [LLAMA2], async () => {
    const tokenizer = await convertTokenizer(LLAMA2);
    expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.addsBos]).toEqual([32000, 1, 2, true]);
    const bos = { addSpecialTokens: true };
    expect(tokenizer.encode("Hello world", bos)).toEqual([1, 15043, 3186]);
    // Ids by Hugging Face's own library from the converted file, and by llama-tokenizer-js.
    expect(tokenizer.encode("Hello  é中😀", bos)).toEqual([1, 15043, 29871, 904, 30275, 243, 162, 155, 131]);
    expect((tokenizer.source.tokenizer.model as { merges: string[] }).merges).toHaveLength(61249);
    const text = " two  spaces\n\ttab é中文😀 1+1=2";
    const ids = tokenizer.encodeContinuation(text);
    expect(tokenizer.decodeContinuation(ids)).toBe(text);
    expect(joined(tokenizer, ids)).toBe(text);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.encodeContinuation("world")).toEqual([11526]); // "world", not " world" (3186)
  });

  testWith("llama2.c's 512 tokens", [TOK512], async () => {
    const tokenizer = await convertTokenizer(TOK512);
    expect([tokenizer.vocabSize, tokenizer.tokenText(0), tokenizer.tokenText(1), tokenizer.tokenText(2)])
      .toEqual([512, "<unk>", "<s>", "</s>"]);
    const text = "Once upon a time, there was a little girl named Lily.";
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: true }))).toBe(text);
    expect(tokenizer.encode("Once upon a time").length).toBeLessThan(10);
    expect(joined(tokenizer, tokenizer.encodeContinuation("naïve 😀"))).toBe("naïve 😀");
  });

  testWith("a byte-level vocabulary of another trainer round-trips", [TORCHTUNE], async () => {
    const tokenizer = await Tokenizer.load(join(TORCHTUNE, ".."));
    const text = "Round trip: naïve 😀\n\n  done. I'LL 1234567";
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(joined(tokenizer, ids)).toBe(text);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.addsBos]).toEqual([null, null, false]);
  });

  testWith("a file that is no vocabulary is named", [LLAMA2, TOK512], async () => {
    for (const [name, bytes, message] of [
      ["cut.model", readFileSync(LLAMA2).subarray(0, 5000), /cut\.model: a field ends after the file does/],
      ["text.model", Buffer.from("not a model"), /text\.model: /],
      ["cut.bin", readFileSync(TOK512).subarray(0, 5000), /cut\.bin: piece \d+ does not end in the file.*tok\*\.bin is wanted/],
    ] as const) {
      writeFileSync(join(directory, name), bytes);
      await expect(convertTokenizer(join(directory, name))).rejects.toThrow(message);
    }
  });
});
