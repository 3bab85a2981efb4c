// Chains of equations, as text and back: "12 + 7 = 19. 19 - 5 = 14. The answer is 14." in four wordings.
// It does NOT know stories, and does not check the arithmetic it is asked to write.

import { type Operation, type Plan, type Step, applyStep } from "./plan";

export interface Equation extends Step {
  left: number;
  result: number;
}

export const SIGNS: Readonly<Record<Operation, string>> = { add: "+", subtract: "-", multiply: "x", divide: "/" };
const INVERSE: Readonly<Record<Operation, Operation>> = {
  add: "subtract", subtract: "add", multiply: "divide", divide: "multiply",
};

/** "terse": equations alone; "ordered": First, Then; "narrated": says what is done before it is computed. */
export const REASON_FIRST_STYLES = ["terse", "ordered", "narrated"] as const;
/**
 * "answer_first": the answer, then the terse equations, as some teachers explain. It reads as well and teaches
 * less: who copies it must know the answer before having reasoned.
 */
export const CHAIN_STYLES = [...REASON_FIRST_STYLES, "answer_first"] as const;
export type ChainStyle = (typeof CHAIN_STYLES)[number];

/** `start` carried through `steps`. */
export function equationsOf(start: number, steps: readonly Step[]): Equation[] {
  let left = start;
  return steps.map((step) => {
    const equation = { ...step, left, result: applyStep(left, step) };
    left = equation.result;
    return equation;
  });
}

/** The right solution; that of a reversed question runs from the end back to the beginning. */
export function solve(plan: Plan): Equation[] {
  if (plan.kind !== "reversed") return equationsOf(plan.start, plan.steps);
  const back = plan.steps.map((step) => ({ operation: INVERSE[step.operation], operand: step.operand })).reverse();
  return equationsOf(plan.result, back);
}

export function equationText({ left, operation, operand, result }: Equation): string {
  return `${left} ${SIGNS[operation]} ${operand} = ${result}`;
}

/** The chain in one of the wordings, with the answer at its end or before it. */
export function chainText(equations: readonly Equation[], style: ChainStyle): string {
  const lines = equations.map((equation, index) => `${opener(equation, index, style)}${equationText(equation)}.`);
  const answer = answerText(equations.at(-1)?.result ?? 0);
  return (style === "answer_first" ? [answer, ...lines] : [...lines, answer]).join(" ");
}

/** The sentence that states the answer; alone, it is a direct answer. */
export function answerText(answer: number | string): string {
  return `The answer is ${answer}.`;
}

function opener(equation: Equation, index: number, style: ChainStyle): string {
  if (style === "terse" || style === "answer_first") return "";
  if (style === "ordered") return index === 0 ? "First, " : "Then, ";
  switch (equation.operation) {
    case "add": return `We add ${equation.operand}: `;
    case "subtract": return `We take away ${equation.operand}: `;
    case "multiply": return `We multiply by ${equation.operand}: `;
    case "divide": return `We divide by ${equation.operand}: `;
  }
}

/** The equations a text states, in order; used on a question's own solution. */
export function parseEquations(text: string): Equation[] {
  const operations = new Map(Object.entries(SIGNS).map(([operation, sign]) => [sign, operation as Operation]));
  return [...text.matchAll(/(\d+) ([-+x/]) (\d+) = (\d+)/g)].map(([, left, sign, operand, result]) => ({
    left: Number(left), operation: operations.get(sign ?? "") ?? "add", operand: Number(operand), result: Number(result),
  }));
}
