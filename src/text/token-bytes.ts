// The bytes each token contributes to the text, for every id of a vocabulary: what a stop-string matcher and exact
// decoding need, since a token may hold half a character. Derived from the decoder part of tokenizer.json.
// It does NOT look at positions: a decoder that strips the first space of a whole text is not applied here.
import { fail } from "../errors";
import { isObject, type JsonObject } from "./tokenizer-files";

/** All bytes back to back; token `id` owns bytes[offsets[id], offsets[id + 1]). */
export interface TokenBytes {
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
}

/**
 * GPT-2's bijection between bytes and printable characters (bytes_to_unicode of openai/gpt-2, encoder.py): printable
 * Latin-1 stands for itself, the other 68 bytes for the code points from 256 on, in order.
 */
export const BYTE_TO_CHAR: readonly string[] = (() => {
  const isPrintable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(isPrintable(b) ? b : next++));
})();

const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));

/** Members of a (possibly nested) "Sequence" of tokenizer.json, or the single component itself. */
export function components(value: unknown): JsonObject[] {
  if (!isObject(value)) return [];
  const nested = value.normalizers ?? value.pretokenizers ?? value.processors ?? value.decoders;
  return Array.isArray(nested) ? nested.flatMap(components) : [value];
}

const utf8 = new TextEncoder();

function byteLevelBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (char) => CHAR_TO_BYTE.get(char));
  // A token outside the alphabet stands for its own text, as in Hugging Face's ByteLevel decoder.
  return bytes.includes(undefined) ? utf8.encode(token) : Uint8Array.from(bytes as number[]);
}

type Replacement = readonly [from: string, to: string];

function replacementOf(component: JsonObject): Replacement | null {
  if (component.type === "Metaspace") return [String(component.replacement ?? "▁"), " "];
  const pattern = component.type === "Replace" && isObject(component.pattern) ? component.pattern.String : undefined;
  return typeof pattern === "string" ? [pattern, String(component.content)] : null;
}

function fallbackBytes(replacements: readonly Replacement[], byteFallback: boolean): (token: string) => Uint8Array {
  return (token) => {
    const hex = byteFallback ? /^<0x([0-9A-F]{2})>$/.exec(token) : null;
    if (hex) return Uint8Array.of(Number.parseInt(hex[1] as string, 16));
    return utf8.encode(replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token));
  };
}

/** The rule that turns a token's string into bytes. @throws ERR_UNSUPPORTED for decoders that depend on neighbours. */
export function tokenByteRule(tokenizer: JsonObject): (token: string) => Uint8Array {
  const decoders = components(tokenizer.decoder);
  const types = decoders.map((decoder) => String(decoder.type));
  if (types.includes("ByteLevel")) return byteLevelBytes;
  const known = new Set(["Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"]);
  const strange = types.find((type) => !known.has(type));
  if (types.length === 0 || strange !== undefined) {
    fail("ERR_UNSUPPORTED", `tokenizer.json: decoder ${strange ?? "null"} is not supported; `
      + "ByteLevel and SentencePiece forms (Replace, ByteFallback, Fuse, Strip, Metaspace) are",
    { path: "tokenizer.json" });
  }
  const replacements = decoders.map(replacementOf).filter((entry) => entry !== null);
  return fallbackBytes(replacements, types.includes("ByteFallback"));
}

/** Lays the bytes of `tokens[id]` out in one buffer; a hole (undefined) has none. */
export function layOut(tokens: readonly (Uint8Array | undefined)[]): TokenBytes {
  const offsets = new Int32Array(tokens.length + 1);
  for (let id = 0; id < tokens.length; id++) offsets[id + 1] = (offsets[id] ?? 0) + (tokens[id]?.length ?? 0);
  const bytes = new Uint8Array(offsets[tokens.length] ?? 0);
  tokens.forEach((token, id) => token && bytes.set(token, offsets[id]));
  return { bytes, offsets };
}
