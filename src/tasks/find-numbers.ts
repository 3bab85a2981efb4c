// Where the numbers of a text are and what they are worth: signs, thousands commas, decimals, currency,
// fractions ("3/4", "5 1/2", LaTeX \frac), scientific notation. Percent signs and units are read over: "25%"
// is worth 25. Not numbers: digits inside words (x2, COVID-19, 3rd), clock times and ratios (12:30),
// version-like clusters (1.2.3). It does NOT know which number of a text is the answer.

import { type Rational, add, negate, parseDecimal, ratio } from "./rational";

export interface FoundNumber {
  value: Rational;
  /** Offsets into the text given; `start` includes sign and currency. */
  start: number;
  end: number;
}

const CURRENCY = String.raw`(?:\\?[$€£¥]\s*)?`;
const DIGITS = String.raw`(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+`;
const SIGN = "([-−–]?)"; // hyphen, minus and, as typesetters and some models write it, en dash
const NUMBER = new RegExp(String.raw`${SIGN}${CURRENCY}${SIGN}(${DIGITS})(?:[eE][+-]?\d{1,3}(?!\w))?`, "gu");
const ORDINAL = /^(?:st|nd|rd|th)\b/;

/** Calculator notes (<<48/2=24>>) go, \frac{a}{b} becomes a/b, LaTeX escapes of $ and % go. */
export function plainMath(text: string): string {
  return text
    .replace(/<<[^<>\n]*>>/g, "")
    .replace(/\\[dt]?frac\{(\d+)\}\{(\d+)\}/g, "$1/$2")
    .replace(/\\text\{([^{}]*)\}/g, "$1")
    .replace(/\{,\}/g, ",")
    .replace(/\\([$%,!])/g, (_, mark: string) => (mark === "," || mark === "!" ? "" : mark));
}

/** All numbers of `text` in reading order. */
export function findNumbers(text: string): FoundNumber[] {
  const found: FoundNumber[] = [];
  NUMBER.lastIndex = 0;
  for (let match = NUMBER.exec(text); match !== null; match = NUMBER.exec(text)) {
    const start = match.index;
    const cluster = /^(?:[.,:^]\d[\d.,:]*)/.exec(text.slice(start + match[0].length));
    if (cluster !== null) {
      NUMBER.lastIndex = start + match[0].length + cluster[0].length;
      continue;
    }
    const number = readAt(text, match);
    if (number === null) continue;
    found.push(number);
    NUMBER.lastIndex = number.end;
  }
  return found;
}

function readAt(text: string, match: RegExpExecArray): FoundNumber | null {
  const [whole, outerSign = "", innerSign = "", digits = ""] = match;
  const start = match.index;
  const before = text.slice(Math.max(0, start - 40), start); // all the context a sign needs
  const signed = outerSign + innerSign !== "";
  if (/[\p{L}_^]$|[\p{L}]-$/u.test(before) || (signed && /\p{L}$/u.test(before))) return null;
  if (/\d[.,:]$/.test(before)) return null;
  let end = start + whole.length;
  const rest = text.slice(end);
  if (ORDINAL.test(rest)) return null;
  const exponent = /[eE][+-]?\d{1,3}$/.exec(whole)?.[0] ?? "";
  let value = parseDecimal(digits + exponent);
  if (value === null) return null;
  if (/^[\d,]+$/.test(digits) && exponent === "") {
    const fraction = readFraction(value, rest);
    if (fraction !== null) {
      value = fraction.value;
      end += fraction.length;
    }
  }
  const negative = signed && signStands(before, outerSign === "");
  return { value: negative ? negate(value) : value, start, end };
}

/** "-3" is negative three unless the dash joins it to something before it: 5-3, 5 -3, (2)-3. */
function signStands(before: string, insideCurrency: boolean): boolean {
  return insideCurrency || !(/[\p{L}\p{N})%\]}]$/u.test(before) || /[\d)%]\s+$/.test(before));
}

function readFraction(whole: Rational, rest: string): { value: Rational; length: number } | null {
  const simple = /^\/(\d{1,9})(?![\d/]|[.,]\d)/.exec(rest);
  if (simple !== null) {
    const value = ratio(whole.numerator, whole.denominator * BigInt(simple[1] ?? "0"));
    return value === null ? null : { value, length: simple[0].length };
  }
  const mixed = /^(?: and)? (\d{1,9})\/(\d{1,9})(?![\d/]|[.,]\d)/.exec(rest);
  if (mixed === null) return null;
  const [top, bottom] = [BigInt(mixed[1] ?? "0"), BigInt(mixed[2] ?? "0")];
  const part = top < bottom ? ratio(top, bottom) : null;
  return part === null ? null : { value: add(whole, part), length: mixed[0].length };
}
