// The arithmetic of a word problem, before any words: how it opens, what happens, how it ends, with which
// numbers. A tuple of numbers belongs to exactly one split by its hash, so no two splits can share a question
// or even its numbers. It does NOT know stories.

import type { Split } from "../../data/records";
import { type KeyedRandom, hashText } from "../random";
import type { WordProblemKind, WordProblemOptions } from "./options";

export type Operation = "add" | "subtract" | "multiply" | "divide";

export interface Step {
  operation: Operation;
  operand: number;
}

/** "plain": one number; "product": groups of equal size; "sum": two sorts. */
export type Opening = "plain" | "product" | "sum";
/** "plain": how many now; "sell": times a price; "share": divided equally. */
export type Ending = "plain" | "sell" | "share";

export interface Plan {
  kind: WordProblemKind;
  opening: Opening;
  ending: Ending;
  /** Story order: start, then what is done to it, opening and ending included. */
  start: number;
  steps: Step[];
  /** What the story comes to. For "reversed" the question asks for `start` instead. */
  result: number;
  /** Only of "distractor": the number that does not matter. */
  distractor?: number;
}

/** Never together in "base", always in "order": the parts are known, their combination is not. */
const HELD_OUT: ReadonlySet<string> = new Set(["product sell", "sum share"]);

/** Hundredths of all number tuples that each split owns. */
const BUCKETS: Readonly<Record<"train" | "validation" | "test", readonly [number, number]>> = {
  train: [0, 80], validation: [80, 90], test: [90, 100],
};

/** The split that owns these numbers. */
export function splitOfNumbers(numbers: readonly number[]): Split {
  const bucket = hashText(numbers.join(","), 0x5bd1e995) % 100;
  const owner = Object.entries(BUCKETS).find(([, [low, high]]) => bucket >= low && bucket < high);
  return (owner?.[0] ?? "train") as Split;
}

export function applyStep(value: number, step: Step): number {
  switch (step.operation) {
    case "add": return value + step.operand;
    case "subtract": return value - step.operand;
    case "multiply": return value * step.operand;
    case "divide": return value / step.operand;
  }
}

/** All numbers the story tells that matter, in story order. */
export function numbersOf(plan: Plan): number[] {
  const operands = plan.steps.map((step) => step.operand);
  return plan.kind === "reversed" ? [...operands, plan.result] : [plan.start, ...operands];
}

/**
 * Draws until a plan fits the kind and its numbers belong to `split`; null when this draw came to nothing.
 */
export function drawPlan(
  random: KeyedRandom, options: WordProblemOptions, kind: WordProblemKind, split: Split,
): Plan | null {
  const count = kind === "longer" ? options.max_steps + 1 : random.between(options.min_steps, options.max_steps);
  const shape = drawShape(random, kind, count);
  if (shape === null) return null;
  const plan = fillNumbers(random, options, kind, shape);
  return plan !== null && splitOfNumbers(numbersOf(plan)) === split ? plan : null;
}

interface Shape {
  opening: Opening;
  ending: Ending;
  operations: Operation[];
}

function drawShape(random: KeyedRandom, kind: WordProblemKind, count: number): Shape | null {
  const opening: Opening = kind === "reversed" ? "plain" : random.pick(["plain", "plain", "product", "sum"] as const);
  const ending: Ending = kind === "reversed" ? "plain" : random.pick(["plain", "plain", "sell", "share"] as const);
  if (HELD_OUT.has(`${opening} ${ending}`) !== (kind === "order")) return null;
  const first: Operation[] = opening === "plain" ? [] : [opening === "product" ? "multiply" : "add"];
  const last: Operation[] = ending === "plain" ? [] : [ending === "sell" ? "multiply" : "divide"];
  const between = count - first.length - last.length;
  if (between < 0) return null;
  const middle = Array.from({ length: between }, () => random.pick(["add", "subtract"] as const));
  return { opening, ending, operations: [...first, ...middle, ...last] };
}

function fillNumbers(
  random: KeyedRandom, options: WordProblemOptions, kind: WordProblemKind, shape: Shape,
): Plan | null {
  const { opening, ending } = shape;
  const start = random.between(2, opening === "product" ? options.max_factor : 2 * options.max_operand);
  const steps: Step[] = [];
  let value = start;
  for (const [index, operation] of shape.operations.entries()) {
    const isFactor = operation === "divide" || (operation === "multiply" && index > 0);
    const step = { operation, operand: random.between(2, isFactor ? options.max_factor : options.max_operand) };
    value = applyStep(value, step);
    if (!Number.isInteger(value) || value < 2 || value > options.max_total) return null;
    steps.push(step);
  }
  const distractor = kind === "distractor" ? { distractor: random.between(2, options.max_operand) } : {};
  return { kind, opening, ending, start, steps, result: value, ...distractor };
}
