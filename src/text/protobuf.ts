// The wire format of Protocol Buffers, as much as a SentencePiece model needs: fields by number, nothing generated.
// It does NOT know any message.
import { fail } from "../errors";

export interface Field {
  readonly number: number;
  /** Varint and fixed fields as number, length-delimited ones as bytes. */
  readonly value: number | Uint8Array;
}

class Reader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array, private readonly path: string) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  private take(count: number): number {
    const start = this.at;
    if (start + count > this.bytes.length) {
      fail("ERR_DATA", `${this.path}: a field ends after the file does: it is truncated or no SentencePiece model`);
    }
    this.at += count;
    return start;
  }

  /** Exact below 2^53; a negative int32 comes as a larger number, which no field here means. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.take(1)]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return fail("ERR_DATA", `${this.path}: a varint of more than ten bytes: no SentencePiece model`);
  }

  field(): Field {
    const tag = this.varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: return { number, value: this.varint() };
      case 1: return { number, value: this.view.getFloat64(this.take(8), true) };
      case 2: {
        const length = this.varint();
        const start = this.take(length);
        return { number, value: this.bytes.subarray(start, start + length) };
      }
      case 5: return { number, value: this.view.getFloat32(this.take(4), true) };
      default: return fail("ERR_DATA", `${this.path}: wire type ${tag % 8}: no SentencePiece model`);
    }
  }
}

/** A field's value where bytes are meant. @throws ERR_DATA */
export function bytesOf({ number, value }: Field, path: string): Uint8Array {
  return typeof value === "number" ? wrongType(number, "a number", path) : value;
}

/** The same where a number is. */
export function numberOf({ number, value }: Field, path: string): number {
  return typeof value === "number" ? value : wrongType(number, "bytes", path);
}

function wrongType(field: number, got: string, path: string): never {
  return fail("ERR_DATA", `${path}: field ${field} holds ${got}: no SentencePiece model`, { path });
}

/** The fields of a message in the order they stand. @throws ERR_DATA on bytes that are no message */
export function readFields(bytes: Uint8Array, path: string): Field[] {
  const reader = new Reader(bytes, path);
  const fields: Field[] = [];
  while (!reader.done) fields.push(reader.field());
  return fields;
}
