// The equations a chain states, and whether they hold: "3 x 4 = 12" yes, "3 x 4 = 13" no. Two chains with one
// list of equations reason alike, whatever their words. It does NOT know tasks; a letter in an expression
// makes it no equation.

import { plainMath } from "../tasks/find-numbers";

export interface StatedEquation {
  /** Without spaces, with * and / as signs: "3*4=12". */
  text: string;
  holds: boolean;
}

/** One class of characters up to "=", so that no text makes the search backtrack over its nesting. */
const EQUATION = /(?<![\w.,])(-?[\d(][-\d., \u00a0+*/×÷−x()%$]*)=\s*\$?\s*(-?\d[\d,]*(?:\.\d+)?)/gu;
/** Up to the last two numbers with nothing but space between them: "1. 2 + 3" is item 1 and an expression. */
const BEFORE_EXPRESSION = /^.*[\d)][.,]?\s+(?=[\d(])/u;

/** In order of appearance. */
export function statedEquations(text: string): StatedEquation[] {
  const plain = plainMath(text).replace(/(\d),(?=\d{3}\b)/g, "$1");
  return [...plain.matchAll(EQUATION)].flatMap(([, left = "", right = ""]) => {
    const expression = left.replace(BEFORE_EXPRESSION, "").replace(/[\s$%]/g, "")
      .replace(/[×x]/g, "*").replace(/÷/g, "/").replace(/−/g, "-");
    const value = /\d.*[-+*/]/.test(expression) ? evaluate(expression) : null;
    if (value === null) return [];
    const result = Number(right.replace(/,/g, ""));
    return [{ text: `${expression}=${result}`, holds: Math.abs(value - result) <= tolerance(right, result) }];
  });
}

/** The list as one key. */
export function equationKey(text: string): string {
  return statedEquations(text).map((equation) => equation.text).join(";");
}

/** A result with decimals may have been rounded at its last place; whole ones may not. */
function tolerance(written: string, result: number): number {
  const decimals = /\.(\d+)$/.exec(written)?.[1]?.length ?? 0;
  return decimals === 0 ? 1e-9 * Math.max(1, Math.abs(result)) : 0.5 * 10 ** -decimals + 1e-12;
}

/** Value of digits, + - * / and brackets, by recursive descent; null when it is no expression. */
export function evaluate(expression: string): number | null {
  const tokens = expression.match(/\d+(?:\.\d+)?|\.\d+|[-+*/()]/g) ?? [];
  if (tokens.join("") !== expression || tokens.length === 0) return null;
  let at = 0;
  const primary = (): number => {
    const token = tokens[at++];
    if (token === "-") return -primary();
    if (token !== "(") return token === undefined ? Number.NaN : Number(token);
    const value = sum();
    return tokens[at++] === ")" ? value : Number.NaN;
  };
  const product = (): number => {
    let value = primary();
    while (tokens[at] === "*" || tokens[at] === "/") value = tokens[at++] === "*" ? value * primary() : value / primary();
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") value = tokens[at++] === "+" ? value + product() : value - product();
    return value;
  };
  const value = sum();
  return at === tokens.length && Number.isFinite(value) ? value : null;
}
