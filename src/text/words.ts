// Byte-level BPE never merges across words, so a word has the same ids wherever it stands: this splits text into words
// as the pre-tokenizer of our own tokenizer.json files does, and remembers their ids. Several times faster than asking
// the library for each text. It does NOT know merges: ids of an unknown word are asked for.
import { isObject, type JsonObject } from "./tokenizer-files";

// GPT-2's splitting rule, the one that ByteLevel with use_regex applies.
const WORDS = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
// The same where every digit was cut out first: none has a space before it, and white space before one stays whole.
const WORDS_AND_DIGITS = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+/gu;

// More distinct words than any fine-tuning set has; beyond it the memory starts anew.
const REMEMBERED_WORDS = 1 << 18;

/** pre_tokenizer of tokenizer.json: GPT-2's words, with each digit a word of its own or not. */
export function wordSplitter(splitDigits: boolean): JsonObject {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  if (!splitDigits) return byteLevel;
  return { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel] };
}

/** The words merges may not cross, under `wordSplitter(splitDigits)`. */
export function splitWords(text: string, splitDigits: boolean): string[] {
  return text.match(splitDigits ? WORDS_AND_DIGITS : WORDS) ?? [];
}

/** Whether `actual` has every key of `wanted` with the same value; what else it has does not matter here. */
function agrees(actual: unknown, wanted: unknown): boolean {
  if (!isObject(wanted)) return Array.isArray(wanted)
    ? Array.isArray(actual) && actual.length === wanted.length && wanted.every((item, i) => agrees(actual[i], item))
    : actual === wanted;
  return isObject(actual) && Object.entries(wanted).every(([key, value]) => (
    key === "trim_offsets" || agrees(actual[key], value)));
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Splits at added tokens, keeping them; null when one of them is matched in a way that depends on its surroundings. */
function addedTokenSplitter(added: readonly unknown[]): RegExp | null | undefined {
  const tokens = added.filter(isObject);
  if (tokens.some((token) => token.lstrip === true || token.rstrip === true || token.single_word === true)) return null;
  const longestFirst = tokens.map(({ content }) => String(content)).sort((a, b) => b.length - a.length);
  return longestFirst.length === 0 ? undefined : new RegExp(`(${longestFirst.map(escapeRegExp).join("|")})`, "u");
}

export class WordEncoder {
  private readonly known = new Map<string, readonly number[]>();

  private constructor(
    private readonly splitDigits: boolean,
    private readonly atAddedTokens: RegExp | undefined,
    private readonly encodeWord: (word: string) => readonly number[],
  ) {}

  /** Null for a tokenizer that does not split into these words: then only the library knows how it does. */
  static create(tokenizer: JsonObject, encodeWord: (word: string) => readonly number[]): WordEncoder | null {
    const splitDigits = [true, false].find((split) => agrees(tokenizer.pre_tokenizer, wordSplitter(split)));
    const added = Array.isArray(tokenizer.added_tokens) ? addedTokenSplitter(tokenizer.added_tokens) : null;
    if (splitDigits === undefined || added === null || (tokenizer.normalizer ?? null) !== null) return null;
    return new WordEncoder(splitDigits, added, encodeWord);
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    // With a capturing group, split gives text and added tokens by turns.
    const parts = this.atAddedTokens ? text.split(this.atAddedTokens) : [text];
    parts.forEach((part, index) => {
      const words = index % 2 === 1 ? [part] : splitWords(part, this.splitDigits);
      for (const word of words) for (const id of this.idsOf(word)) ids.push(id);
    });
    return ids;
  }

  private idsOf(word: string): readonly number[] {
    const known = this.known.get(word);
    if (known) return known;
    const ids = this.encodeWord(word);
    if (this.known.size >= REMEMBERED_WORDS) this.known.clear();
    this.known.set(word, ids);
    return ids;
  }
}
