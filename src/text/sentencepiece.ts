// Vocabularies of SentencePiece's BPE form: tokenizer.model files (Llama-2, Mistral) and llama2.c's tok*.bin.
// Both come down to pieces with scores, the higher the earlier merged. It does NOT tokenize: see convert.ts.
import { fail } from "../errors";
import { bytesOf, type Field, numberOf, readFields } from "./protobuf";

/** The `type` of a piece in sentencepiece_model.proto. */
export const PIECE = { NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6 } as const;

export interface Piece {
  /** With U+2581 for a space. */
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

export interface PieceVocabulary {
  readonly pieces: readonly Piece[];
  readonly unkId: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly addDummyPrefix: boolean;
}

const BPE_MODEL = 2;

function parsePiece(bytes: Uint8Array, path: string): Piece {
  const piece = { text: "", score: 0, type: PIECE.NORMAL as number };
  for (const field of readFields(bytes, path)) {
    if (field.number === 1) piece.text = new TextDecoder().decode(bytesOf(field, path));
    if (field.number === 2) piece.score = numberOf(field, path);
    if (field.number === 3) piece.type = numberOf(field, path);
  }
  return piece;
}

/** The fields of a message that is one, by number; of several with one number the last, as the format wants. */
function fieldsOf(message: Field | undefined, path: string): Map<number, Field> {
  return new Map((message ? readFields(bytesOf(message, path), path) : []).map((field) => [field.number, field]));
}

/**
 * Reads a tokenizer.model of BPE type without a normalization of its own.
 * @throws ERR_DATA when it is no such file, ERR_UNSUPPORTED for unigram models and character maps
 */
export function parseSentencePiece(bytes: Uint8Array, path: string): PieceVocabulary {
  const fields = readFields(bytes, path);
  const message = (wanted: number) => fields.find(({ number }) => number === wanted);
  const pieces = fields.filter(({ number }) => number === 1).map((field) => parsePiece(bytesOf(field, path), path));
  if (pieces.length === 0) fail("ERR_DATA", `${path}: no pieces: this is no SentencePiece model`, { path });
  const trainer = fieldsOf(message(2), path);
  const normalizer = fieldsOf(message(3), path);
  const number = (field: Field | undefined, fallback: number) => (field ? numberOf(field, path) : fallback);
  const type = number(trainer.get(3), 1);
  if (type !== BPE_MODEL) {
    fail("ERR_UNSUPPORTED", `${path}: a SentencePiece model of type ${type}; BPE (2) is read`, { path });
  }
  const characterMap = normalizer.get(2);
  if (characterMap && bytesOf(characterMap, path).length > 0) {
    fail("ERR_UNSUPPORTED", `${path}: the normalization of this SentencePiece model is not supported`, { path });
  }
  const id = (field: number, fallback: number) => number(trainer.get(field), fallback);
  return {
    pieces, unkId: id(40, 0), bosId: id(41, 1), eosId: id(42, 2), addDummyPrefix: number(normalizer.get(3), 1) !== 0,
  };
}

/**
 * Reads llama2.c's tokenizer.bin: the longest length, then score, length and text of each piece, spaces as spaces.
 * Source: karpathy/llama2.c, tokenizer.py (export). @throws ERR_DATA when the file is no such one
 */
export function parseLlama2cVocabulary(bytes: Uint8Array, path: string): PieceVocabulary {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces: Piece[] = [];
  for (let at = 4; at < bytes.length;) {
    const room = bytes.length - at - 8;
    const length = room >= 0 ? view.getInt32(at + 4, true) : -1;
    if (length < 0 || length > room) {
      fail("ERR_DATA", `${path}: piece ${pieces.length} does not end in the file: it is truncated or no llama2.c `
        + "vocabulary (a llama2.c model has none in it: its tok*.bin is wanted)", { path });
    }
    const text = new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + length));
    pieces.push(llama2cPiece(pieces.length, text, view.getFloat32(at, true)));
    at += 8 + length;
  }
  if (pieces.length < 3 + 256) {
    fail("ERR_DATA", `${path}: ${pieces.length} pieces: no llama2.c vocabulary, which has 256 bytes`, { path });
  }
  return { pieces, unkId: 0, bosId: 1, eosId: 2, addDummyPrefix: true };
}

/** The export wrote BOS and EOS with line breaks around them, and the types not at all. */
function llama2cPiece(id: number, text: string, score: number): Piece {
  if (id === 0) return { text: "<unk>", score, type: PIECE.UNKNOWN };
  if (id === 1 || id === 2) return { text: text.trim(), score, type: PIECE.CONTROL };
  const type = /^<0x[0-9A-F]{2}>$/.test(text) ? PIECE.BYTE : PIECE.NORMAL;
  return { text: text.replaceAll(" ", "▁"), score, type };
}
