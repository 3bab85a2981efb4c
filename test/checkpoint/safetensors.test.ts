// Headers that are right, and one file for each way in which a header can lie.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { buildHeader, MAX_HEADER_BYTES, readHeader } from "../../src/checkpoint/safetensors";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-safetensors-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "x.safetensors");

function length(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A file with this header, as an object or as text, and so many bytes of data. */
function write(header: unknown, dataBytes: number): void {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  writeFileSync(path, Buffer.concat([length(json.length), json, Buffer.alloc(dataBytes)]));
}

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

test("what is built is read back, aligned, in the order given", async () => {
  const { bytes, offsets, fileSize } = buildHeader([
    { name: "b", dtype: "BF16", shape: [3, 5] }, { name: "a", dtype: "F32", shape: [2] },
    { name: "none", dtype: "F32", shape: [0, 4] }, { name: "scalar", dtype: "F16", shape: [] },
  ]);
  expect(bytes.length % 64).toBe(0);
  expect(offsets).toEqual([0, 30, 38, 38].map((offset) => bytes.length + offset));
  expect(fileSize).toBe(bytes.length + 40);
  writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(40)]));
  const { tensors, metadata } = await readHeader(path);
  expect(metadata).toEqual({ format: "pt" });
  expect([...tensors.values()].map(({ name, fileOffset }) => [name, fileOffset]))
    .toEqual(["b", "a", "none", "scalar"].map((name, index) => [name, offsets[index]]));
  expect(tensors.get("b")).toMatchObject({ dtype: "BF16", shape: [3, 5] });
});

test("a file of the reference implementation's form is read: 8-byte alignment, order of its own", async () => {
  // As serialize_file of the safetensors crate writes {"w": f32[2, 2], "b": f16[2]}: padded with spaces to 8 bytes.
  const header = "{'__metadata__':{'format':'pt'},'w':{'dtype':'F32','shape':[2,2],'data_offsets':[0,16]},"
    .concat("'b':{'dtype':'F16','shape':[2],'data_offsets':[16,20]}}").replaceAll("'", "\"");
  write(header.padEnd(Math.ceil(header.length / 8) * 8), 20);
  const { tensors } = await readHeader(path);
  expect(tensors.get("b")!.fileEnd - tensors.get("w")!.fileOffset).toBe(20);
});

describe("each fault has its own error, naming file and tensor", () => {
  test.each<[string, unknown, number, RegExp]>([
    ["truncated data", { w: f32([4], 0, 16) }, 12, /tensor w ends at byte \d+, the file has \d+: it is truncated/],
    ["trailing bytes", { w: f32([4], 0, 16) }, 20, /4 bytes after tensor w belong to nothing/],
    ["overlap", { a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12, /tensor b overlaps tensor a/],
    ["gap", { a: f32([2], 0, 8), b: f32([2], 12, 20) }, 20, /4 bytes between tensor a and tensor b belong to nothing/],
    ["late start", { a: f32([2], 8, 16) }, 16, /8 bytes between the header and tensor a/],
    ["wrong size", { w: f32([4], 0, 12) }, 12, /tensor w: shape \[4\] of F32 takes 16 bytes, data_offsets span 12/],
    ["backwards", { w: f32([0], 8, 4) }, 8, /tensor w: its data_offsets \[8, 4\] run backwards/],
    ["negative offset", { w: f32([1], -4, 0) }, 8, /tensor w: its data_offsets \[-4,0\] are no/],
    ["fractional shape", { w: f32([0.5], 0, 2) }, 2, /tensor w: its shape \[0.5\] is no list of sizes/],
    ["shape overflow", { w: f32([2 ** 40, 2 ** 40], 0, 16) }, 16, /tensor w: its shape .* overflows/],
    ["unknown dtype", { w: { dtype: "Q4", shape: [4], data_offsets: [0, 2] } }, 2, /tensor w: unknown dtype "Q4"/],
    ["prototype as dtype", { w: { dtype: "toString", shape: [], data_offsets: [0, 0] } }, 0,
      /unknown dtype "toString"/],
    ["no object", { w: 3 }, 0, /tensor w: its entry is not an object/],
    ["metadata of numbers", { __metadata__: { a: 1 } }, 0, /__metadata__ is not a map of strings/],
    ["a tensor twice", `{"w":${JSON.stringify(f32([1], 0, 4))},"w":${JSON.stringify(f32([1], 0, 4))}}`, 4,
      /the header has the key "w" twice/],
    ["a key of a tensor twice", "{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
      /the header has the key "dtype" twice/],
    ["a tensor twice, escaped", `{"w":${JSON.stringify(f32([1], 0, 4))},"\\u0077" : ${JSON.stringify(f32([1], 0, 4))}}`,
      4, /the header has the key "w" twice/],
    ["no JSON", "{\"w\":", 0, /the header is not valid JSON/],
    ["no object at all", "[1]", 0, /does not begin with "\{"/],
  ])("%s", async (_name, header, dataBytes, message) => {
    write(header, dataBytes);
    await expect(readHeader(path)).rejects.toThrow(message);
    await expect(readHeader(path))
      .rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: expect.stringContaining(path) });
  });

  test.each<[string, Buffer, RegExp]>([
    ["an empty file", Buffer.alloc(0), /0 bytes are too few/],
    ["a length past the end", Buffer.concat([length(1000), Buffer.from("{}")]), /claims 1000 bytes, the file has 10/],
    ["a length past the format's bound", length(MAX_HEADER_BYTES + 1), /the format allows 100000000/],
    ["the largest length", length(2n ** 64n - 1n), /claims 18446744073709551615 bytes, the format allows/],
    ["a header that is not UTF-8", Buffer.concat([length(2), Buffer.from([0xff, 0xfe])]), /not UTF-8/],
  ])("%s", async (_name, bytes, message) => {
    writeFileSync(path, bytes);
    await expect(readHeader(path)).rejects.toThrow(message);
  });

  test("a key that is a string value elsewhere is no duplicate", async () => {
    write({ __metadata__: { a: "w", b: "a\": {" }, w: f32([1], 0, 4) }, 4);
    expect((await readHeader(path)).tensors.size).toBe(1);
  });

  test("a long text among the metadata is read, escapes and all", async () => {
    const text = "thumbnail \"\\".repeat(2_500_000);
    write({ __metadata__: { text }, w: f32([1], 0, 4) }, 4);
    expect((await readHeader(path)).metadata["text"]?.length).toBe(text.length);
  });

  test("a missing file is an ERR_IO", async () => {
    await expect(readHeader(join(directory, "none"))).rejects.toMatchObject({ code: "ERR_IO" });
  });
});
