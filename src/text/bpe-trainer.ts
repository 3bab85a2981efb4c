// Trains a byte-level BPE tokenizer and writes it as tokenizer.json, readable by @huggingface/tokenizers and by Hugging
// Face's own library. Byte-level: every text has an encoding and decodes to itself, so there is no unknown token.
// Splitting numbers into digits is an option because arithmetic is learned far better from single digits.
import { fail } from "../errors";
import { type Merge, learnMerges } from "./bpe-merges";
import { BYTE_TO_CHAR } from "./token-bytes";
import type { JsonObject } from "./tokenizer-files";
import { splitWords, wordSplitter } from "./words";

export interface BpeTrainerOptions {
  /** Size of the whole vocabulary: special tokens + 256 bytes + merges. Less if the text has too few pairs. */
  readonly vocabSize: number;
  /** Each digit a token of its own. Default true. */
  readonly splitDigits?: boolean;
  /** A pair must occur this often to be merged. Default 2. */
  readonly minFrequency?: number;
  /** Default "<s>"; it begins every sequence. */
  readonly bosToken?: string;
  /** Default "</s>". */
  readonly eosToken?: string;
  /** Further special tokens; they get the ids after BOS and EOS. */
  readonly specialTokens?: readonly string[];
  /** Called after each merge. */
  readonly onProgress?: (merges: number, wanted: number) => void;
}

export interface TrainedTokenizer {
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
}

function countWords(texts: Iterable<string>, splitDigits: boolean): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitWords(text, splitDigits)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** Special tokens first, then the 256 bytes in the order of their characters, as Hugging Face's trainer does. */
class Vocabulary {
  readonly tokens: string[];
  private readonly ids: Map<string, number>;
  readonly byteIds: readonly number[];

  constructor(readonly specials: readonly string[], readonly limit: number) {
    this.tokens = [...specials, ...[...BYTE_TO_CHAR].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)];
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
    this.byteIds = BYTE_TO_CHAR.map((char) => this.ids.get(char)!);
  }

  /** Id of the merged token: a new one, or that of the same text reached by another merge. */
  accept(left: number, right: number): number | undefined {
    if (this.tokens.length >= this.limit) return undefined;
    const token = this.tokens[left]! + this.tokens[right]!;
    const known = this.ids.get(token);
    if (known !== undefined) return known;
    const id = this.tokens.push(token) - 1;
    this.ids.set(token, id);
    return id;
  }

  mergeText = ({ left, right }: Merge) => `${this.tokens[left]} ${this.tokens[right]}`;
}

function checked(options: BpeTrainerOptions): { specials: string[]; bos: string; eos: string } {
  const bos = options.bosToken ?? "<s>";
  const eos = options.eosToken ?? "</s>";
  const specials = [...new Set([bos, eos, ...(options.specialTokens ?? [])])];
  const least = 256 + specials.length;
  if (!Number.isInteger(options.vocabSize) || options.vocabSize < least || options.vocabSize > 1 << 20) {
    fail("ERR_INVALID_ARGUMENT", `vocabSize is ${options.vocabSize}: an integer from ${least} (256 bytes and `
      + `${specials.length} special tokens) to ${1 << 20} is wanted`);
  }
  const bad = specials.find((token) => token === "" || BYTE_TO_CHAR.includes(token));
  if (bad !== undefined) fail("ERR_INVALID_ARGUMENT", `special token ${JSON.stringify(bad)} is empty or a plain byte`);
  return { specials, bos, eos };
}

/** Puts BOS in front of every sequence, as Llama's tokenizers do. */
export function bosTemplate(bos: string, id: number): JsonObject {
  const special = (typeId: number) => ({ SpecialToken: { id: bos, type_id: typeId } });
  const sequence = (name: string, typeId: number) => ({ Sequence: { id: name, type_id: typeId } });
  return {
    type: "TemplateProcessing",
    single: [special(0), sequence("A", 0)],
    pair: [special(0), sequence("A", 0), special(1), sequence("B", 1)],
    special_tokens: { [bos]: { id: bos, ids: [id], tokens: [bos] } },
  };
}

/** An entry of `added_tokens` for a token that is matched as a whole and has no text. */
export function specialTokenEntry(content: string, id: number): JsonObject {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/**
 * Trains on texts, each a document of its own. The same texts and options give the same tokenizer, byte for byte.
 * @throws ERR_INVALID_ARGUMENT on a vocabulary that cannot hold the bytes, or when there is no text at all.
 */
export function trainBpe(texts: Iterable<string>, options: BpeTrainerOptions): TrainedTokenizer {
  const { specials, bos, eos } = checked(options);
  const splitDigits = options.splitDigits ?? true;
  const counts = countWords(texts, splitDigits);
  if (counts.size === 0) fail("ERR_INVALID_ARGUMENT", "there is no text to train a tokenizer on");

  const vocabulary = new Vocabulary(specials, options.vocabSize);
  const wanted = options.vocabSize - vocabulary.tokens.length;
  const utf8 = new TextEncoder();
  const words = [...counts.keys()].map((word) => Array.from(utf8.encode(word), (byte) => vocabulary.byteIds[byte]!));
  let done = 0;
  const merges = learnMerges({ words, counts: [...counts.values()] }, options.minFrequency ?? 2, (left, right) => {
    const id = vocabulary.accept(left, right);
    if (id !== undefined) options.onProgress?.(++done, wanted);
    return id;
  });
  return {
    tokenizer: {
      version: "1.0", truncation: null, padding: null,
      added_tokens: specials.map(specialTokenEntry),
      normalizer: null,
      pre_tokenizer: wordSplitter(splitDigits),
      post_processor: bosTemplate(bos, 0),
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
        fuse_unk: false, byte_fallback: false,
        vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
        merges: merges.map(vocabulary.mergeText),
      },
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast", bos_token: bos, eos_token: eos, add_bos_token: true,
      clean_up_tokenization_spaces: false, model_max_length: Number.MAX_SAFE_INTEGER,
    },
  };
}
