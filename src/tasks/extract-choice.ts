// The chosen option of a multiple-choice completion, strictly: the exact letter; text only when it names one option.
// 1. Text from the first line that opens a new question on is ignored.
// 2. The LAST explicit marker ("answer is", "correct answer:", "answer would be", ...) decides: the letter behind it in
//    one of the forms (B) B) B. B: [B] "B" option B answer2; a bare B (b) at the end, B before its own option's text.
//    Two letters, a list of options, a negation or a letter that is no option make it null. With no letter: the one
//    option the clause names.
// 3. With no marker: the last line, when it is a lone letter or the only line of a letter with its option's text.
// 4. Else the one option that a completion of one sentence names, when it denies nothing.  5. Otherwise null.

import type { Choice } from "./choice";
import { cutRunOn, normalizeText, sentences } from "./text";

export interface ReadChoice {
  label: string;
  rule: "marker" | "marker_text" | "last_line" | "only_option";
}

const MARKER = /\b(?:answer|choice|option)(?:\s+(?:to|from|for|of)\b[^.\n:]{0,80}?)?(?:\s*[*_]*\s*:|\s*(?:is|=|(?:would|will|should|must)\s+be)\b)[\s*_]*:?/giu;
const OPEN = /^[\s*_"'`“‘:]*(?:(?:the|most likely|clearly|therefore|thus|option|choice|letter|answer)\s+)*[\s*_"'`“‘]*/iu;
const NEGATION = /\b(?:not|no|never|neither|nor|none|except|rather|instead|cannot|unclear|unknown)\b|n['’]t\b/iu;
const BOTH = /^[\s)\].*_"'`]*(?:,|\/|&|\bor\b|\band\b)+[\s*_"'`]*(?:option\s+)?[([]?([A-Za-z])[)\].,:\s]/u;
/** The next option of a list on the same line, behind the first one's text: nothing is chosen. */
const LISTED = /^[ \t]*[,;]?[ \t]*[([]([A-Za-z])[)\]]/u;

/**
 * The label ("B") and the rule that found it; null when the completion does not choose exactly one option.
 */
export function readChoice(completion: string, choices: readonly Choice[]): ReadChoice | null {
  const text = cutRunOn(completion);
  const behind = behindLastMarker(text, choices);
  if (behind !== null) {
    const label = readLetter(behind, choices);
    if (label !== undefined) return label === null ? null : { label, rule: "marker" };
    const named = onlyNamed(sentences(behind)[0] ?? "", choices);
    return named === null ? null : { label: named, rule: "marker_text" };
  }
  const line = readLastLine(text, choices);
  if (line !== undefined) return line === null ? null : { label: line, rule: "last_line" };
  const named = sentences(text).length === 1 ? onlyNamed(text, choices) : null;
  return named === null ? null : { label: named, rule: "only_option" };
}

/** The label, or null. */
export function extractChoice(completion: string, choices: readonly Choice[]): string | null {
  return readChoice(completion, choices)?.label ?? null;
}

function behindLastMarker(text: string, choices: readonly Choice[]): string | null {
  let behind: string | null = null;
  for (const match of text.matchAll(MARKER)) {
    const end = match.index + match[0].length;
    const rest = text.slice(end);
    if (/[\p{L}\p{N}]/u.test(rest) && !choices.some((choice) => isInside(text, choice.text, end))) behind = rest;
  }
  return behind;
}

/** An option may itself speak of "the right answer is ..."; what it says is not the student's marker. */
function isInside(text: string, option: string, at: number): boolean {
  const start = text.lastIndexOf(option, at - 1);
  return start >= 0 && start + option.length > at;
}

/** A label, null for a letter that decides nothing (no option, or two), undefined where no letter stands. */
function readLetter(behind: string, choices: readonly Choice[]): string | null | undefined {
  const numbered = /^[\s*_"'(]*(?:answer|option|choice|solution)\s*([1-9])(?!\d)/iu.exec(behind);
  if (numbered !== null) return choices[Number(numbered[1]) - 1]?.label ?? null;
  const lead = OPEN.exec(behind)?.[0] ?? "";
  const rest = behind.slice(lead.length);
  const enclosed = /^(?:[([{]\s*([A-Za-z])\s*[)\]}]|([A-Za-z])\s*(?:\)|[*_"'`”’\]]+))/u.exec(rest);
  if (enclosed !== null) return decide(enclosed[1] ?? enclosed[2] ?? "", rest.slice(enclosed[0].length), choices);
  // A small letter, bare, only where its clause ends with it: there "a" is no article.
  const bare = /^(?:([A-Z])(?![\p{L}\p{N}'’])|([a-z])(?=\s*(?:[.!?;][\s"'”’]|[.!?;]?\s*$|\n)))/u.exec(rest);
  if (bare?.[2] !== undefined) return decide(bare[2], rest.slice(1), choices);
  if (bare === null || bare[1] === undefined) return undefined;
  return bareLetterStands(rest, bare[1], lead, choices) ? decide(bare[1], rest.slice(1), choices) : undefined;
}

function decide(letter: string, tail: string, choices: readonly Choice[]): string | null {
  const label = letter.toUpperCase();
  const own = choices.find((choice) => choice.label === label);
  if (own === undefined) return null;
  const text = /^[\s*_"'`:.)\]-]*/u.exec(tail)?.[0].length ?? 0;
  const behind = tail.slice(text).startsWith(own.text) ? tail.slice(text + own.text.length) : tail;
  const second = (BOTH.exec(`${behind} `) ?? LISTED.exec(behind))?.[1]?.toUpperCase();
  const two = second !== undefined && second !== label && choices.some((choice) => choice.label === second);
  return two ? null : label;
}

/**
 * "A" may be the article: it is a letter before punctuation, at the end, behind "option", or before its own
 * text.
 */
function bareLetterStands(rest: string, letter: string, lead: string, choices: readonly Choice[]): boolean {
  if (/^.\s*(?:$|[.,:;!?\n–—-])/u.test(rest) || /\b(?:option|choice|letter)\s+$/iu.test(lead)) return true;
  if (/^.\s+(?:because|since|as|for|and|or)\b/u.test(rest)) return true;
  const own = choices.find((choice) => choice.label === letter);
  return own !== undefined && startsWith(normalizeText(rest.slice(1)), normalizeText(own.text));
}

/**
 * A label; null when lettered lines contradict each other or their texts; undefined where the line has no
 * letter.
 */
function readLastLine(text: string, choices: readonly Choice[]): string | null | undefined {
  const lines = text.split("\n").filter((part) => part.trim() !== "");
  const last = lines.at(-1) ?? "";
  const lone = /^[\s*_"'`([]*([A-Z])[\s*_"'`)\].:]*$/u.exec(last) ?? /^\s*\(([a-z])\)[\s.]*$/u.exec(last);
  if (lone !== null) return choices.find((choice) => choice.label === lone[1]?.toUpperCase())?.label ?? null;
  const lettered = lines.map((line) => letteredOption(line, choices)).filter((one) => one !== undefined);
  if (letteredOption(last, choices) === undefined) return undefined;
  const only = lettered.length === 1 ? lettered[0] : undefined;
  return only !== undefined && normalizeText(only.said) === normalizeText(only.choice.text) ? only.choice.label : null;
}

function letteredOption(line: string, choices: readonly Choice[]): { choice: Choice; said: string } | undefined {
  const match = /^[\s*_"'`]*[([]?([A-Za-z])[)\].:][\s*_]*(\S.*)$/u.exec(line);
  const choice = choices.find((one) => one.label === match?.[1]?.toUpperCase());
  return choice === undefined ? undefined : { choice, said: match?.[2] ?? "" };
}

/** The label of the only option named; options inside longer named options do not count as named by them. */
function onlyNamed(text: string, choices: readonly Choice[]): string | null {
  const texts = choices.map((choice) => ({ label: choice.label, text: normalizeText(choice.text) }));
  if (new Set(texts.map((one) => one.text)).size < texts.length) return null;
  let rest = ` ${normalizeText(text)} `;
  const named: string[] = [];
  for (const option of [...texts].sort((a, b) => b.text.length - a.text.length)) {
    if (option.text === "" || !rest.includes(` ${option.text} `)) continue;
    named.push(option.label);
    rest = rest.replaceAll(` ${option.text} `, " \u0000 ");
  }
  const denied = NEGATION.test(rest);
  return named.length === 1 && !denied ? named[0] ?? null : null;
}

function startsWith(text: string, start: string): boolean {
  return start !== "" && (text === start || text.startsWith(`${start} `));
}
