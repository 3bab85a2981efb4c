// The final answer of a math completion, strictly. The rule, in order:
// 1. Text from the first line that opens a new question on is ignored.
// 2. The LAST explicit marker decides: "answer is|was|would be|=", "####", "\boxed{", or "Answer:" / "A:" at the start
//    of a line with a number right behind it. In the sentence behind the marker: the right side of its last "=";
//    else the number right behind the marker, unless a different number is joined to it (", 4", "and 4", "5 + 3");
//    else the last number of that sentence.
// 3. With no marker, in the final sentence: the number that repeats the right side of the text's last equation ("6 x 8
//    = 48. It takes 48 hours to clean the 6 rooms."), else its last number.  4. Otherwise null; "five" is not read.

import { cutRunOn, sentences } from "./text";
import { type FoundNumber, findNumbers, plainMath } from "./find-numbers";
import { formatRational, sameValue } from "./rational";

export interface ReadAnswer {
  /** Normal form: "42", "-3.5", "2/3". */
  answer: string;
  /** Which part of the rule found it. */
  rule: "marker" | "final_sentence";
}

const TIGHT = /\banswer\s*(?:is|was|equals|(?:would|will|should|must)\s+be|=)(?!\s*[.?!,;](?!\d)|\w)|####|\\boxed\s*\{/giu;
const LINE = /(?:^|\n)[\s*_#]*(?:final\s+)?(?:answer|a)\s*[*_]*\s*:[\s*_]*(?=\\?[-−$€£¥([]*\s*\.?\d)/giu;
const LEAD = /^(?:[\s:*_"'`([{~≈\\]|\$(?!\s*[-−.]?\d)|(?:that|equal to|equals|about|approximately|exactly|only|just|now|simply|=)\s)*/iu;
const OPERATOR = /^\s*(?:[-+*/×÷^−–]|x(?=\s*\d))\s*[$(]?\s*\d/u;
const JOINED = /^(?:\s+[\p{L}'-]+){0,3}\s*(?:,|,?\s*\b(?:and|or|to)\b)\s*(?:[$€£¥]\s*)?[-−]?[\d.]/iu;

/** The answer and the rule that found it; null when the text holds no answer by the rule above. */
export function readNumber(completion: string): ReadAnswer | null {
  const text = plainMath(cutRunOn(completion));
  const marked = lastMarkerEnd(text);
  if (marked !== null) {
    const number = readClause(text.slice(marked));
    return number === null ? null : { answer: formatRational(number.value), rule: "marker" };
  }
  const last = sentences(text).at(-1);
  const number = last === undefined ? null : repeatedResult(text, last) ?? lastNumber(last);
  return number === null ? null : { answer: formatRational(number.value), rule: "final_sentence" };
}

/** The answer in normal form, or null. */
export function extractNumber(completion: string): string | null {
  return readNumber(completion)?.answer ?? null;
}

/**
 * Numeric equality of two answers in any accepted spelling ("1,200" and "1200.0"); false when one is no
 * number.
 */
export function equalNumbers(a: string, b: string): boolean {
  const [x, y] = [parseAnswer(a), parseAnswer(b)];
  return x !== null && y !== null && sameValue(x.value, y.value);
}

/** Normal form of a gold answer such as "1,200", "39.0" or "$5"; null when it is not exactly one number. */
export function normalNumber(text: string): string | null {
  const number = parseAnswer(text);
  return number === null ? null : formatRational(number.value);
}

function parseAnswer(text: string): FoundNumber | null {
  const plain = plainMath(text.trim());
  const numbers = findNumbers(plain);
  const only = numbers.length === 1 ? numbers[0] : undefined;
  return only !== undefined && only.start === 0 ? only : null;
}

function lastMarkerEnd(text: string): number | null {
  let end: number | null = null;
  for (const pattern of [TIGHT, LINE]) {
    for (const match of text.matchAll(pattern)) end = Math.max(end ?? 0, match.index + match[0].length);
  }
  return end;
}

function readClause(behind: string): FoundNumber | null {
  const clause = sentences(behind)[0];
  if (clause === undefined || /^\W*not\b/i.test(clause)) return null;
  const equals = clause.lastIndexOf("=");
  if (equals >= 0 && findNumbers(clause.slice(0, equals)).length > 0) return rightSide(clause.slice(equals + 1));
  const lead = LEAD.exec(clause)?.[0].length ?? 0;
  const first = findNumbers(clause)[0];
  if (first === undefined) return null;
  if (first.start > lead) return lastNumber(clause);
  return joinsAnother(clause.slice(first.end), first) ? null : first;
}

/** Behind "=": a lone number, not the start of a further expression. */
function rightSide(text: string): FoundNumber | null {
  const first = findNumbers(text)[0];
  if (first === undefined || OPERATOR.test(text.slice(first.end))) return null;
  return /\p{L}/u.test(text.slice(0, first.start)) ? null : first;
}

function joinsAnother(tail: string, first: FoundNumber): boolean {
  if (OPERATOR.test(tail)) return true;
  if (!JOINED.test(tail)) return false;
  const second = findNumbers(tail)[0];
  return second !== undefined && !sameValue(second.value, first.value);
}

function repeatedResult(text: string, sentence: string): FoundNumber | null {
  const equals = text.lastIndexOf("=");
  const result = equals < 0 ? null : rightSide(text.slice(equals + 1, equals + 80));
  return result === null ? null : findNumbers(sentence).find((one) => sameValue(one.value, result.value)) ?? null;
}

function lastNumber(sentence: string): FoundNumber | null {
  const numbers = findNumbers(sentence);
  const last = numbers.at(-1);
  const previous = numbers.at(-2);
  if (last === undefined) return null;
  const between = previous === undefined ? "" : sentence.slice(previous.end, last.start);
  // "She has 5 + 3." states a sum and no result.
  return previous !== undefined && /^\s*(?:[-+*/×÷−–]|x)\s*$/u.test(between) ? null : last;
}
