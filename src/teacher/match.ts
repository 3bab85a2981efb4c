// Which question of a split an answer is to: by text (normalised) and options, and among equal questions by
// the row's number, so that the chain written for a train row is not taken for its twin in the test rows. It
// does NOT judge answers.

import type { Question } from "../data/records";
import { fail } from "../errors";
import { type Choice, letter } from "../tasks/choice";
import { normalNumber } from "../tasks/extract-number";
import type { Task } from "../tasks/task";
import { normalizeText } from "../tasks/text";
import type { TeacherAnswer } from "./answers";

export interface Match {
  question: Question;
  answer: TeacherAnswer;
}

/** Matches in the order of the answers; the rest is counted. */
export function matchQuestions(
  questions: readonly Question[], answers: readonly TeacherAnswer[],
): { matched: Match[]; unmatched: number } {
  const byText = groupByText(questions);
  const claimed = new Map<string, number>();
  const chosen = new Map<TeacherAnswer, Question>();
  const claims = (answer: TeacherAnswer, question: Question): number =>
    claimed.get(claimKey(answer, question)) ?? 0;
  const claim = (answer: TeacherAnswer, question: Question): void => {
    chosen.set(answer, question);
    claimed.set(claimKey(answer, question), claims(answer, question) + 1);
  };
  for (const pass of ["key", "text"] as const) {
    for (const answer of answers) {
      if (chosen.has(answer)) continue;
      const candidates = (byText.get(normalizeText(answer.question)) ?? []).filter((one) => sameOptions(one, answer));
      const question = pass === "key"
        ? candidates.find((one) => answer.key !== undefined && one.id.endsWith(`-${answer.key}`))
        : leastClaimed(candidates, (one) => claims(answer, one));
      // A file with one chain a row has one for each question; a second is its twin's.
      const taken = question !== undefined && answer.key !== undefined && claims(answer, question) > 0;
      if (question !== undefined && !taken) claim(answer, question);
    }
  }
  const matched = answers.flatMap((answer) => {
    const question = chosen.get(answer);
    return question === undefined ? [] : [{ question, answer }];
  });
  return { matched, unmatched: answers.length - matched.length };
}

/**
 * The question a file of its own brings along; gold "" stands for none. Errors: ERR_DATA on an unreadable
 * gold.
 */
export function ownQuestion(task: Task, answer: TeacherAnswer, index: number): Question {
  const question = { id: `${task.name}-file-${index}`, task: task.name, split: "train" as const, question: answer.question };
  if (task.kind === "math") {
    const gold = answer.gold === undefined ? "" : normalNumber(answer.gold);
    return gold !== null ? { ...question, gold }
      : fail("ERR_DATA", `${answer.where}: gold is ${JSON.stringify(answer.gold)}, wanted a number`);
  }
  const choices = choicesInText(`${answer.instruction ?? ""}\n${answer.input ?? answer.question}`);
  if (choices.length < 2) {
    fail("ERR_DATA", `${answer.where}: no options found; ${task.name} wants lines "A) ...", "B) ..." in the input`);
  }
  const gold = answer.gold === undefined ? "" : choiceLabel(answer.gold, choices);
  return gold !== undefined ? { ...question, choices, gold }
    : fail("ERR_DATA", `${answer.where}: gold ${JSON.stringify(answer.gold)} is none of the options`);
}

function groupByText(questions: readonly Question[]): Map<string, Question[]> {
  const groups = new Map<string, Question[]>();
  for (const question of questions) {
    const text = normalizeText(question.question);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [question]);
    else group.push(question);
  }
  return groups;
}

function claimKey(answer: TeacherAnswer, question: Question): string {
  return `${answer.teacher}\u0000${question.id}`;
}

function leastClaimed(candidates: readonly Question[], claims: (one: Question) => number): Question | undefined {
  return candidates.reduce<Question | undefined>(
    (best, one) => (best === undefined || claims(one) < claims(best) ? one : best), undefined);
}

function sameOptions(question: Question, answer: TeacherAnswer): boolean {
  if (question.choices === undefined || answer.choices === undefined) return true;
  const own = question.choices.map((choice) => normalizeText(choice.text)).sort();
  const told = answer.choices.map(normalizeText).sort();
  return own.length === told.length && own.every((text, index) => text === told[index]);
}

function choicesInText(text: string): Choice[] {
  const found = [...text.matchAll(/^\s*\(?([A-Z])[).]\s+(\S.*)$/gm)];
  const choices = found.map((match) => ({ label: match[1] ?? "", text: (match[2] ?? "").trim() }));
  return choices.every((choice, index) => choice.label === letter(index)) ? choices : [];
}

function choiceLabel(gold: string, choices: readonly Choice[]): string | undefined {
  return choices.find((choice) => choice.label === gold.trim() || choice.text === gold.trim())?.label;
}
