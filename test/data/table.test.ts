// Data files of all kinds, whole and damaged, down to the line that is wrong.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "@jest/globals";
import { JsonlWriter, readJsonl, writeJsonl } from "../../src/data/jsonl";
import { readRecords, streamRecords } from "../../src/data/table";
import { sharedPath, testWith } from "./shared";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-table-"));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content);
  return at(name);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("JSON Lines", () => {
  test("byte order mark, CRLF, blank lines, no last line break; lines keep their numbers", async () => {
    const path = file("mixed.jsonl", "\ufeff{\"a\":1}\r\n\r\n[2]\n\n\"é\"");
    expect(await collect(readJsonl(path))).toEqual([
      { value: { a: 1 }, line: 1 }, { value: [2], line: 3 }, { value: "é", line: 5 },
    ]);
  });

  test("an empty file has no records, plain or gzipped", async () => {
    expect(await readRecords(file("empty.jsonl", ""))).toEqual([]);
    expect(await readRecords(file("empty.jsonl.gz", gzipSync("")))).toEqual([]);
  });

  test("characters and lines that span chunks survive", async () => {
    const long = "é𝄞".repeat(60_000);
    const records = Array.from({ length: 5 }, (_, i) => ({ i, long: long + i }));
    for (const name of ["long.jsonl", "long.jsonl.gz"]) {
      await writeJsonl(at(name), records);
      expect(await readRecords(at(name))).toEqual(records);
    }
    expect(gunzipSync(readFileSync(at("long.jsonl.gz"))).equals(readFileSync(at("long.jsonl")))).toBe(true);
  });

  test.each([
    ["broken JSON", "{\"a\":1}\n{\"a\":\n", /bad\.jsonl:2: not valid JSON/],
    ["bytes that are not UTF-8", Buffer.from("\"a\"\n\"\xff\"", "latin1"), /bad\.jsonl:2: not valid UTF-8/],
  ])("%s names file and line", async (_name, content, message) => {
    await expect(readRecords(file("bad.jsonl", content))).rejects.toThrow(message);
  });

  test("a line over the limit is refused with its number", async () => {
    const path = file("huge.jsonl", `1\n"${"x".repeat(200_000)}"\n`);
    await expect(collect(readJsonl(path, 100_000))).rejects.toThrow(/huge\.jsonl:2: the line is longer than 100000/);
  });

  test("a gzip file that is cut off or damaged is named", async () => {
    const whole = gzipSync(`${JSON.stringify("x".repeat(5000))}\n`);
    await expect(readRecords(file("cut.jsonl.gz", whole.subarray(0, 30)))).rejects.toThrow(/cut\.jsonl\.gz: the gzip/);
    await expect(readRecords(file("no.jsonl.gz", "plain"))).rejects.toThrow(/no\.jsonl\.gz: the gzip/);
    await expect(readRecords(at("absent.jsonl.gz"))).rejects.toThrow(/cannot read .*absent\.jsonl\.gz: no such file/);
  });
});

describe("JsonlWriter", () => {
  test("appends, and cuts off the half line a killed process left", async () => {
    const path = at("log.jsonl");
    const first = await JsonlWriter.open(path);
    await first.write({ n: 1 });
    await first.close();
    appendFileSync(path, `{"n":2}\n{"text":"${"x".repeat(100_000)}`);
    const second = await JsonlWriter.open(path);
    await second.write({ n: 3 });
    await second.flush();
    expect(await readRecords(path)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await second.close();
  });

  test("refuses what has no JSON form and gzipped names", async () => {
    await expect(JsonlWriter.open(at("x.jsonl.gz"))).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    await expect(writeJsonl(at("f.jsonl"), [undefined])).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });
});

describe("JSON, CSV, TSV", () => {
  test(".json is an array, one object, or JSON Lines", async () => {
    expect(await readRecords(file("array.json", "[1,\n{\"a\":2}]"))).toEqual([1, { a: 2 }]);
    expect(await readRecords(file("object.json", "{\"a\":\n2}"))).toEqual([{ a: 2 }]);
    expect(await readRecords(file("lines.json", "{\"a\":1}\n{\"a\":2}\n"))).toEqual([{ a: 1 }, { a: 2 }]);
    await expect(readRecords(file("bad.json", "[1,\n2"))).rejects.toThrow(/bad\.json: not valid JSON/);
    await expect(readRecords(file("badlines.json", "{}\n{\n"))).rejects.toThrow(/badlines\.json:2: not valid JSON/);
  });

  test("CSV with quotes, doubled quotes, commas and line breaks inside", async () => {
    const path = file("q.csv", "\ufeffid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n\"2\",\n3,plain \"x\"\n");
    expect(await collect(streamRecords(path))).toEqual([
      { value: { id: "1", text: "a, \"b\"\nc" }, line: 2 },
      { value: { id: "2", text: "" }, line: 4 },
      { value: { id: "3", text: "plain \"x\"" }, line: 5 },
    ]);
    await expect(readRecords(file("ragged.csv", "a,b\n1,2\n1\n")))
      .rejects.toThrow(/ragged\.csv:3: 1 fields, .* 2 \(a, b\)/);
    await expect(readRecords(file("open.csv", "a\n\"1\n2\n"))).rejects.toThrow(/open\.csv:2: a quoted field is never/);
    const swallowed = `a\n"1\n${"x".repeat(1000)}\n`.padEnd(1 << 18, "y\n");
    await expect(readRecords(file("swallowed.csv", swallowed))).rejects.toThrow(/swallowed\.csv:2: a quoted field is/);
  });

  test("a long row ends nothing: neither itself nor those behind it are lost", async () => {
    const long = "x".repeat(1 << 20);
    const rows = await readRecords(file("long.csv", `a,b\n1,${long}\n2,"${long}\n"\n3,c\n`));
    expect(rows).toEqual([{ a: "1", b: long }, { a: "2", b: `${long}\n` }, { a: "3", b: "c" }]);
  });

  test("TSV has no quoting; columns may be named by the caller", async () => {
    const path = file("t.tsv", "\"x\ty\n");
    expect(await readRecords(path, { columns: ["a", "b"] })).toEqual([{ a: "\"x", b: "y" }]);
    expect(await readRecords(path)).toEqual([]);
  });

  test("an unknown extension is an error that lists the known ones", async () => {
    await expect(readRecords(at("x.xlsx"))).rejects.toThrow(/unknown extension "\.xlsx"; \.jsonl, \.json, \.parquet/);
  });
});

describe("Parquet, written by DuckDB", () => {
  const expected = [0, 1, 2].map((id) => ({
    id,
    question: `Question ${id} é`,
    messages: [{ role: "user", content: `q${id}` }, { role: "assistant", content: "a" }],
    score: id % 2 === 0 ? null : id / 2,
  }));

  test.each(["snappy", "zstd", "gzip"])("%s", async (codec) => {
    expect(await readRecords(join(__dirname, "fixtures", `${codec}.parquet`))).toEqual(expected);
  });

  test("a file that is none, or is cut off, is named", async () => {
    const whole = readFileSync(join(__dirname, "fixtures", "snappy.parquet"));
    await expect(readRecords(file("cut.parquet", whole.subarray(0, 400))))
      .rejects.toThrow(/cut\.parquet: not a readable/);
    await expect(readRecords(file("e.parquet", ""))).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(readRecords(at("absent.parquet"))).rejects.toMatchObject({ code: "ERR_IO" });
  });
});

describe("published sets", () => {
  const gsm8k = sharedPath("gsm8k", "train.jsonl.gz");
  testWith("GSM8K train, gzipped JSON Lines", [gsm8k], async () => {
    const records = await readRecords(gsm8k) as { question: string; answer: string }[];
    expect(records).toHaveLength(7473);
    expect(records.every((record) => record.answer.includes("#### "))).toBe(true);
  });

  const openBookQa = sharedPath("openbookqa", "obqa_train.json.gz");
  testWith("OpenBookQA train, JSON Lines named .json", [openBookQa], async () => {
    expect(await readRecords(openBookQa)).toHaveLength(4957);
  });

  const ecqa = sharedPath("commonsenseqa", "ecqa_human_rationales.tsv.gz");
  testWith("ECQA, a TSV without header", [ecqa], async () => {
    expect(await readRecords(ecqa, { columns: ["question", "answer", "rationale"] })).toHaveLength(7112);
  });
});
