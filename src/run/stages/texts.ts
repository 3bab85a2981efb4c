// The texts a tokenizer is trained on and a fresh student reads before the method begins: train-side
// questions and demonstrations, and files of plain text or records. Whatever repeats an evaluation question
// is left out. It does NOT train.
import { readText } from "../../files";
import { streamRecords } from "../../data/table";
import type { Demonstration, Question } from "../../data/records";
import type { Named } from "../../data/encode";
import type { SftRecord } from "../../data/formats";
import type { RunConfig } from "../../config/run-options";
import type { Task } from "../../tasks";
import { statedAnswer } from "../../teacher/demonstrations";
import type { Tokenizer } from "../../text/tokenizer";
import { renderPrompt, TRIGGER } from "../../text/templates";

export type Document = Named<SftRecord>;

/** Text files hold documents apart by blank lines; of a record, all its texts are one document. */
async function* documentsOf(path: string): AsyncGenerator<{ text: string; name: string }> {
  if (/\.txt$/i.test(path)) {
    const parts = (await readText(path))
      .split(/\r?\n\s*\n/)
      .map((part) => part.trim())
      .filter(Boolean);
    for (const [index, text] of parts.entries()) yield { text, name: `${path}: document ${index + 1}` };
    return;
  }
  for await (const { value, line } of streamRecords(path)) {
    const texts = Object.values(value as Record<string, unknown>).filter((item) => typeof item === "string");
    if (texts.length > 0) yield { text: texts.join("\n"), name: `${path}:${line}` };
  }
}

export interface PlainTexts {
  documents: { text: string; name: string }[];
  /** Left out, for they repeat an evaluation question. */
  leaked: number;
}

/** @param leaks whether a text repeats an evaluation question */
export async function plainTexts(
  paths: readonly string[],
  leaks: (text: string) => boolean,
): Promise<PlainTexts> {
  const result: PlainTexts = { documents: [], leaked: 0 };
  for (const path of paths) {
    for await (const document of documentsOf(path)) {
      if (leaks(document.text)) result.leaked += 1;
      else result.documents.push(document);
    }
  }
  return result;
}

/** Train-side questions as the run's `pretrain.train_questions` wants them. */
export function questionRows(
  run: RunConfig,
  task: Task,
  questions: readonly Question[],
  tokenizer: Tokenizer,
): Document[] {
  const wanted = run.student.from_scratch?.pretrain?.train_questions ?? "none";
  if (wanted === "none") return [];
  return questions.map((question) => {
    const asked = { instruction: task.instruction(question), input: task.input(question) };
    const record =
      wanted === "question"
        ? { prompt: "", completion: asked.input }
        : { prompt: renderPrompt(run.template, asked, { tokenizer }), completion: statedAnswer(question) };
    return { record, name: question.id };
  });
}

/** What a tokenizer should be good at: the words of questions, prompts and chains. */
export function tokenizerTexts(
  task: Task,
  questions: readonly Question[],
  demonstrations: readonly Demonstration[],
  documents: readonly string[],
): string[] {
  return [
    ...questions.map((question) => `${task.instruction(question)}\n${task.input(question)}\n${TRIGGER}\n`),
    ...demonstrations.map(({ output }) => output),
    ...documents,
  ];
}
