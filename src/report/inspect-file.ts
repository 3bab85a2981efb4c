// What a file of records holds: how many of which shape, and, with a tokenizer, the audit of them as training
// rows. It does NOT change the file.
import { type AuditReport, auditExamples, auditMessages } from "../data/audit";
import { encodePairs, encodeSft, type EncodedPair, type EncodedSft, type Named } from "../data/encode";
import { type PairRecord, parsePairRecord, parseSftRecord } from "../data/formats";
import { streamRecords } from "../data/table";
import { fail } from "../errors";
import type { TemplateName } from "../text/templates";
import { loadTokenizer } from "../text/convert";
import type { Tokenizer } from "../text/tokenizer";
import { number, percent, plural } from "./format";

interface Rows {
  named: Named<unknown>[];
  /** Field names in the order of the first record -> how many records have just these. */
  shapes: Map<string, number>;
}

async function read(path: string): Promise<Rows> {
  const rows: Rows = { named: [], shapes: new Map() };
  for await (const { value, line } of streamRecords(path)) {
    const fields = typeof value === "object" && value !== null ? Object.keys(value).join(", ") : typeof value;
    rows.shapes.set(fields, (rows.shapes.get(fields) ?? 0) + 1);
    rows.named.push({ record: value, name: `${path}:${line}` });
  }
  return rows.named.length > 0 ? rows : fail("ERR_DATA", `${path}: no records`, { path });
}

/**
 * Records with `chosen` are pairs, all others are to be learned from. @throws ERR_DATA naming file and line
 */
function encode(rows: Rows, tokenizer: Tokenizer, template: TemplateName): (EncodedSft | EncodedPair)[] {
  const isPairs = "chosen" in ((rows.named[0]?.record ?? {}) as object);
  if (isPairs) {
    const pairs = rows.named.map(({ record, name }): Named<PairRecord> => ({
      record: parsePairRecord(record, name),
      name,
    }));
    return encodePairs(tokenizer, pairs).examples;
  }
  return encodeSft(
    tokenizer,
    rows.named.map(({ record, name }) => ({ record: parseSftRecord(record, name), name })),
    { template },
  ).examples;
}

function auditText(report: AuditReport): string[] {
  const findings = auditMessages(report);
  return [
    `${plural(report.sequences, "sequence")}, ${report.tokens} tokens, mean ${number(report.tokens / report.sequences, 3)}, ` +
      `longest ${report.longest}; ${percent(report.maskedShare)} of the tokens are prompt`,
    ...(findings.length > 0 ? findings : ["no findings"]),
  ];
}

export async function inspectFile(
  path: string,
  model: string | undefined,
  template: TemplateName,
): Promise<{ data: object; text: string }> {
  const rows = await read(path);
  const shapes = [...rows.shapes].map(([fields, count]) => `${String(count).padStart(7)}  ${fields}`);
  const head = [`${path}: ${plural(rows.named.length, "record")}`, ...shapes];
  const data = { path, records: rows.named.length, shapes: Object.fromEntries(rows.shapes) };
  if (model === undefined) {
    const why = "no audit without a tokenizer: --model names the one its rows are encoded with";
    return { data, text: [...head, "", why].join("\n") };
  }
  const tokenizer = await loadTokenizer(model);
  const report = auditExamples(tokenizer, encode(rows, tokenizer, template));
  return { data: { ...data, audit: report }, text: [...head, "", ...auditText(report)].join("\n") };
}
