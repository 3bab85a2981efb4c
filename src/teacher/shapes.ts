// Rows of teacher files to teacher answers, one reader a shape; the shape is told from the fields of the
// first row: chains with verdicts (chain-of-thought), several chains a row (output: [...]), human chains
// ("####"), model solutions ({model: {solution}}), instruction/input/output, prompt/completion (plain or
// messages), and rationale tables. It does NOT match questions or judge answers.

import { fail } from "../errors";
import { messageText } from "./messages";
import { type Row, listField, objectField, scalarField, textField } from "../tasks/files";
import { gsm8kQuestion } from "../tasks/gsm8k";
import type { TeacherAnswer } from "./answers";

export interface Shape {
  name: string;
  /** Who wrote it, when the shape itself tells. */
  writer?: string;
  /** Whether a row has the fields of this shape. */
  fits(row: Row): boolean;
  read(row: Row, teacher: string): TeacherAnswer[];
}

const has = (row: Row, ...fields: string[]): boolean => fields.every((field) => row.fields[field] !== undefined);

/** "A: " opens an answer in few-shot prompts; it belongs to the prompt. */
function withoutPromptMark(text: string): string {
  return text.trim().replace(/^A:\s*/, "");
}

const verdictRows: Shape = {
  name: "question, chain-of-thought, answer",
  fits: (row) => has(row, "question", "chain-of-thought"),
  read: (row, teacher) => [{
    question: textField(row, "question"),
    output: withoutPromptMark(textField(row, "chain-of-thought")),
    teacher,
    ...goldOf(row, "answer"),
    key: keyOf(row),
    where: row.where,
  }],
};

const manyChains: Shape = {
  name: "instruction, output[], label",
  fits: (row) => has(row, "instruction") && Array.isArray(row.fields["output"]),
  read: (row, teacher) => listField(row, "output").map((output, index) => ({
    question: textField(row, "instruction"),
    output: typeof output === "string" ? output.trim() : fail("ERR_DATA", `${row.where}: output[${index}] is no text`),
    teacher,
    ...goldOf(row, "label"),
    where: row.where,
  })),
};

const humanChains: Shape = {
  name: "question, answer with ####",
  writer: "human",
  fits: (row) => has(row, "question") && String(row.fields["answer"]).includes("####"),
  read: (row, teacher) => {
    const { question, rationale = "", gold } = gsm8kQuestion(row, "train");
    return [{ question, output: rationale, teacher, gold, unstated: true, where: row.where }];
  },
};

const modelSolutions: Shape = {
  name: "question, ground_truth, {model: {solution}}",
  fits: (row) => has(row, "question", "ground_truth"),
  read: (row, teacher) => Object.keys(row.fields)
    .filter((field) => field !== "question" && field !== "ground_truth")
    .map((model) => ({
      question: textField(row, "question"),
      output: textField(objectField(row, model), "solution").trim(),
      teacher: `${teacher}/${model}`,
      gold: textField(row, "ground_truth").split(/\bA:/).at(-1)?.trim() ?? "",
      where: row.where,
    })),
};

const instructionRows: Shape = {
  name: "instruction, input, output",
  fits: (row) => has(row, "instruction", "output"),
  read: (row, teacher) => {
    const input = typeof row.fields["input"] === "string" ? row.fields["input"].trim() : "";
    const instruction = textField(row, "instruction").trim();
    return [{
      question: input === "" ? instruction : input,
      instruction,
      input,
      output: textField(row, "output").trim(),
      teacher: ownTeacher(row, teacher),
      ...(has(row, "gold") ? goldOf(row, "gold") : goldOf(row, has(row, "label") ? "label" : "answer")),
      where: row.where,
    }];
  },
};

const promptRows: Shape = {
  name: "prompt, completion",
  fits: (row) => has(row, "prompt", "completion"),
  read: (row, teacher) => {
    const prompt = messageText(row.fields["prompt"], "user", `${row.where}: prompt`);
    return [{
      question: prompt,
      instruction: prompt,
      input: "",
      output: messageText(row.fields["completion"], "assistant", `${row.where}: completion`),
      teacher: ownTeacher(row, teacher),
      ...goldOf(row, "gold"),
      where: row.where,
    }];
  },
};

const tableRows: Shape = {
  name: "question with options, answer, rationale",
  writer: "human",
  fits: (row) => has(row, "question", "answer", "rationale"),
  read: (row, teacher) => {
    const [stem = "", options = ""] = textField(row, "question").split("\\nOptions:\\n");
    return [{
      question: stem,
      choices: options.split("\\n").map((line) => line.replace(/^- /, "").trim()).filter((line) => line !== ""),
      output: textField(row, "rationale").trim(),
      teacher,
      gold: textField(row, "answer").trim(),
      unstated: true,
      where: row.where,
    }];
  },
};

/** In the order they are tried: the more particular first. */
export const SHAPES: readonly Shape[] = [
  verdictRows, manyChains, humanChains, modelSolutions, tableRows, instructionRows, promptRows,
];

/** Errors: ERR_DATA naming the fields that stood there and the shapes that are known. */
export function shapeOf(row: Row): Shape {
  return SHAPES.find((shape) => shape.fits(row))
    ?? fail("ERR_DATA", `${row.where}: fields ${Object.keys(row.fields).join(", ")} are no known shape of demonstrations; `
      + `known are ${SHAPES.map((shape) => shape.name).join("; ")}`);
}

function goldOf(row: Row, field: string): { gold?: string } {
  const value = row.fields[field];
  return value === undefined || value === null || value === "" ? {} : { gold: scalarField(row, field) };
}

function ownTeacher(row: Row, teacher: string): string {
  const own = row.fields["teacher"];
  return typeof own === "string" && own !== "" ? own : teacher;
}

/** "temp_225" says 225; with no id the row's own number does. */
function keyOf(row: Row): number {
  const id = row.fields["ID"];
  const number = typeof id === "string" ? /^temp_(\d+)$/.exec(id)?.[1] : undefined;
  return number === undefined ? row.index : Number(number);
}
