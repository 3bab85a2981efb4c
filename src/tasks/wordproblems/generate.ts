// Questions of the procedural family: a plan told as a story. Question i of a split is drawn from its own
// random stream, so a longer split begins with the shorter one and no split sees another's draws. It does NOT
// know teachers or students.

import type { Question, Split } from "../../data/records";
import { fail } from "../../errors";
import { KeyedRandom } from "../random";
import { equationText, solve } from "./chain";
import { FRAMES, type Frame, type Scene, distractorSentence } from "./frames";
import { type WordProblemKind, type WordProblemOptions } from "./options";
import { type Plan, drawPlan } from "./plan";

/** A seed and knobs that admit hardly any plan must end in a message, not in an endless search. */
const MAX_DRAWS = 20_000;
const MAX_REPEATS = 500;

/** "wordproblems" or "wordproblems-<kind>". */
export function wordProblemName(kind: WordProblemKind): string {
  return kind === "base" ? "wordproblems" : `wordproblems-${kind}`;
}

/** `count` different questions. Errors: ERR_INVALID_ARGUMENT when the knobs do not admit so many. */
export function generateQuestions(
  options: WordProblemOptions, kind: WordProblemKind, split: Split, count: number,
): Question[] {
  const seen = new Set<string>();
  const questions: Question[] = [];
  for (let index = 0, repeats = 0; questions.length < count; index++) {
    const question = generateQuestion(options, kind, split, index);
    repeats = seen.has(question.question) ? repeats + 1 : 0;
    if (repeats > MAX_REPEATS) tooNarrow(kind, split, `after ${questions.length} of ${count} questions`);
    if (repeats > 0) continue;
    seen.add(question.question);
    questions.push(question);
  }
  return questions;
}

function generateQuestion(options: WordProblemOptions, kind: WordProblemKind, split: Split, index: number): Question {
  const name = wordProblemName(kind);
  const random = new KeyedRandom(options.seed, name, split, index);
  const plan = drawUntil(random, options, kind, split);
  const frame = FRAMES[random.pick(options.frames)];
  const equations = solve(plan);
  return {
    id: `${name}-${split}-${index}`,
    task: name,
    split,
    question: tell(random, plan, frame, frame.scene(random)),
    gold: String(equations.at(-1)?.result),
    rationale: equations.map((equation) => `${equationText(equation)}.`).join(" "),
  };
}

function drawUntil(random: KeyedRandom, options: WordProblemOptions, kind: WordProblemKind, split: Split): Plan {
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const plan = drawPlan(random, options, kind, split);
    if (plan !== null) return plan;
  }
  return tooNarrow(kind, split, `in ${MAX_DRAWS} draws`);
}

function tooNarrow(kind: WordProblemKind, split: Split, when: string): never {
  return fail("ERR_INVALID_ARGUMENT", `${wordProblemName(kind)}: no further ${split} question found ${when}; `
    + "raise `wordproblems.max_operand`, `wordproblems.max_total` or `wordproblems.max_steps`, or ask for fewer questions", { kind, split });
}

function tell(random: KeyedRandom, plan: Plan, frame: Frame, scene: Scene): string {
  const first = plan.opening === "plain" ? 0 : 1;
  const last = plan.ending === "plain" ? 0 : 1;
  const sentences = [open(plan, frame, scene)];
  if (plan.distractor !== undefined) sentences.push(distractorSentence(random, scene, plan.distractor));
  for (const step of plan.steps.slice(first, plan.steps.length - last)) {
    const tellings = step.operation === "add" ? frame.add : frame.subtract;
    sentences.push(random.pick(tellings)(scene, step.operand));
  }
  sentences.push(close(plan, frame, scene));
  return sentences.join(" ");
}

function open(plan: Plan, frame: Frame, scene: Scene): string {
  const second = plan.steps[0]?.operand ?? 0;
  if (plan.kind === "reversed") return frame.unknown(scene);
  if (plan.opening === "product") return frame.product(scene, plan.start, second);
  return plan.opening === "sum" ? frame.sum(scene, plan.start, second) : frame.plain(scene, plan.start);
}

function close(plan: Plan, frame: Frame, scene: Scene): string {
  const last = plan.steps.at(-1)?.operand ?? 0;
  if (plan.kind === "reversed") return frame.reversed(scene, plan.result);
  if (plan.ending === "sell") return frame.sell(scene, last);
  return plan.ending === "share" ? frame.share(scene, last) : frame.asked(scene);
}
