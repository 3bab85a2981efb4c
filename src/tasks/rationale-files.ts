// The rationale files of the TinyLLM release: JSON lists of strings, cut into numbered parts, one string a
// question: "<chain>. Thus, the answer is (b) <text>\n\nQ: <question>\nAnswer Choices:\n(a) ...\n(b) ...
// llama rationale: <chain>". The first chain is FLAN-T5's, the second (where there is one) LLaMA-2's. Both
// were shown the gold label. It does NOT judge the chains.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { streamRecords } from "../data/table";
import { fail, messageOf } from "../errors";

export type RationaleSplit = "train" | "valid" | "test";

export interface RationaleRow {
  question: string;
  choices: string[];
  /** Index of the option the first teacher was told is right. */
  answer: number;
  /** Chains by teacher, in the order of the string. */
  chains: { teacher: "flan-t5" | "llama-2"; text: string }[];
  where: string;
}

const SHAPE = /^(.*?Thus, the answer is \(([a-z])\).*?)\n\nQ: (.*?)\nAnswer Choices:\n(.*)$/s;
const SECOND = " llama rationale:";

/** All parts `llm/<split>_CoT_<n>.json` of a folder in numeric order. Errors: ERR_IO, ERR_DATA. */
export async function readRationales(dir: string, split: RationaleSplit): Promise<RationaleRow[]> {
  const folder = join(dir, "llm");
  const name = new RegExp(`^${split}_CoT_(\\d+)\\.json$`);
  const parts = listFolder(folder)
    .flatMap((file) => { const n = name.exec(file)?.[1]; return n === undefined ? [] : [{ file, n: Number(n) }]; })
    .sort((a, b) => a.n - b.n);
  if (parts.length === 0) fail("ERR_IO", `${folder} holds no ${split}_CoT_<n>.json`, { folder });
  const rows: RationaleRow[] = [];
  for (const { file } of parts) {
    const path = join(folder, file);
    for await (const { value, line } of streamRecords(path)) rows.push(parseRationale(value, `${path}:${line}`));
  }
  return rows;
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    return fail("ERR_IO", `${folder}: ${messageOf(error)}; wanted a folder of rationale files`, { folder }, error);
  }
}

/** Errors: ERR_DATA naming the row when a part of the pattern is missing. */
export function parseRationale(text: unknown, where: string): RationaleRow {
  const match = typeof text === "string" ? SHAPE.exec(text) : null;
  if (match === null) {
    fail("ERR_DATA", `${where}: not "<chain> Thus, the answer is (x) ...", "Q: ...", "Answer Choices:" in this order`);
  }
  const [, chain = "", letter = "", question = "", tail = ""] = match;
  const second = tail.indexOf(SECOND);
  const options = (second < 0 ? tail : tail.slice(0, second)).split(/(?:^|\n)\([a-z]\) /).slice(1).map((one) => one.trim());
  const answer = letter.charCodeAt(0) - 97;
  if (options.length < 2 || answer >= options.length) {
    fail("ERR_DATA", `${where}: answer (${letter}) among ${options.length} options`);
  }
  const chains: RationaleRow["chains"] = [{ teacher: "flan-t5", text: chain.trim() }];
  if (second >= 0) chains.push({ teacher: "llama-2", text: tail.slice(second + SECOND.length).trim() });
  return { question: question.trim(), choices: options, answer, chains, where };
}
