// SentencePiece BPE vocabularies as tokenizer.json, in the form transformers' converter gives Llama-2: merges are
// recovered from the scores, unknown characters fall back to bytes.
// Source: huggingface/transformers, convert_slow_tokenizer.py. It does NOT read the binary formats.
import { readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fail } from "../errors";
import { ioError } from "../files";
import { bosTemplate, specialTokenEntry, type TrainedTokenizer } from "./bpe-trainer";
import { parseLlama2cVocabulary, parseSentencePiece, PIECE, type Piece, type PieceVocabulary } from "./sentencepiece";
import { Tokenizer } from "./tokenizer";
import type { JsonObject } from "./tokenizer-files";

interface ScoredMerge {
  readonly left: string;
  readonly right: string;
  readonly score: number;
}

/** Every way to make a piece of two others, by falling score, longer parts first; ties in order of their ids. */
function recoverMerges(pieces: readonly Piece[], ids: ReadonlyMap<string, number>): string[] {
  const merges: ScoredMerge[] = [];
  for (const { text, score } of pieces) {
    const characters = Array.from(text);
    const ways: ScoredMerge[] = [];
    for (let cut = 1; cut < characters.length; cut++) {
      const left = characters.slice(0, cut).join("");
      const right = characters.slice(cut).join("");
      if (ids.has(left) && ids.has(right)) ways.push({ left, right, score });
    }
    ways.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    merges.push(...ways);
  }
  const characters = (text: string) => Array.from(text).length;
  merges.sort((a, b) => b.score - a.score || characters(b.left) - characters(a.left)
    || characters(b.right) - characters(a.right));
  return merges.map(({ left, right }) => `${left} ${right}`);
}

const replace = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });

function normalizer(addDummyPrefix: boolean): JsonObject {
  const spaces = replace(" ", "▁");
  return addDummyPrefix ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, spaces] } : spaces;
}

function decoder(addDummyPrefix: boolean): JsonObject {
  const strip = addDummyPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : [];
  return { type: "Sequence", decoders: [replace("▁", " "), { type: "ByteFallback" }, { type: "Fuse" }, ...strip] };
}

/** tokenizer.json and tokenizer_config.json of a vocabulary of pieces. */
export function convertPieces(vocabulary: PieceVocabulary): TrainedTokenizer {
  const { pieces, unkId, bosId, eosId, addDummyPrefix } = vocabulary;
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const textOf = (id: number) => pieces[id]?.text ?? fail("ERR_DATA", `the vocabulary has no piece ${id}`);
  const matched = pieces.flatMap(({ type, text }, id) => (
    type === PIECE.UNKNOWN || type === PIECE.CONTROL ? [specialTokenEntry(text, id)]
      : type === PIECE.USER_DEFINED ? [{ ...specialTokenEntry(text, id), special: false }] : []));
  return {
    tokenizer: {
      version: "1.0", truncation: null, padding: null,
      added_tokens: matched,
      normalizer: normalizer(addDummyPrefix),
      pre_tokenizer: null,
      post_processor: bosTemplate(textOf(bosId), bosId),
      decoder: decoder(addDummyPrefix),
      model: {
        type: "BPE", dropout: null, unk_token: textOf(unkId), continuing_subword_prefix: null,
        end_of_word_suffix: null, fuse_unk: true,
        byte_fallback: pieces.some(({ type }) => type === PIECE.BYTE),
        vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
        merges: recoverMerges(pieces, ids),
      },
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast", bos_token: textOf(bosId), eos_token: textOf(eosId),
      unk_token: textOf(unkId), add_bos_token: true, add_eos_token: false, clean_up_tokenization_spaces: false,
      model_max_length: Number.MAX_SAFE_INTEGER,
    },
  };
}

/**
 * A tokenizer from a SentencePiece tokenizer.model or a llama2.c tok*.bin.
 * @throws ERR_IO, ERR_CHECKPOINT, ERR_DATA, ERR_UNSUPPORTED naming the file
 */
export async function convertTokenizer(path: string): Promise<Tokenizer> {
  const bytes = await readFile(path).catch((error: unknown) => Promise.reject(ioError(error, "read", path)));
  const parse = extname(path) === ".bin" ? parseLlama2cVocabulary : parseSentencePiece;
  const { tokenizer, tokenizerConfig } = convertPieces(parse(bytes, path));
  return Tokenizer.fromJson(tokenizer, tokenizerConfig);
}

/** Loads a Hugging Face directory, or converts a tokenizer.model or tok*.bin, whichever `path` names. */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (/\.(model|bin)$/.test(path)) return convertTokenizer(path);
  return Tokenizer.load(basename(path) === "tokenizer.json" ? join(path, "..") : path);
}
