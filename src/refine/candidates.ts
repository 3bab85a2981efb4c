// The pair policies: for one question, which completions may stand against which.
// It does NOT count, cap or render (see pairs.ts).

import type { Demonstration, PairPolicy, PairSource, SampledPath } from "../data/records";
import { KeyedRandom } from "../tasks/random";
import { plainText } from "./similarity";

/** One side of a pair. */
export interface Side {
  text: string;
  source: PairSource;
  answer: string | null;
  correct: boolean | null;
  sample: number | null;
}

export interface Candidate {
  chosen: Side;
  rejected: Side;
}

/** What one question has to offer: scored, finished, distinct. */
export interface Offer {
  id: string;
  cot: readonly SampledPath[];
  direct: readonly SampledPath[];
  /** A demonstration that is right by the target; absent: no fallback. */
  teacher?: Demonstration;
}

/** Pairs of one question in the order of the lot; never two equal texts, never one pair twice. */
export function candidatesOf(
  policy: PairPolicy, offer: Offer, seed: number,
): { pairs: Candidate[]; identical: number } {
  const lists = policyLists(policy, offer, seed);
  const seen = new Set<string>();
  const pairs: Candidate[] = [];
  let identical = 0;
  for (const candidate of interleave(lists)) {
    const [chosen, rejected] = [plainText(candidate.chosen.text), plainText(candidate.rejected.text)];
    if (chosen === rejected) identical += 1;
    const key = `${chosen}\u0000${rejected}`;
    if (chosen === rejected || seen.has(key)) continue;
    seen.add(key);
    pairs.push(candidate);
  }
  return { pairs, identical };
}

function policyLists(policy: PairPolicy, offer: Offer, seed: number): Candidate[][] {
  const random = new KeyedRandom(seed, "pairs", policy, offer.id);
  const sides = (paths: readonly SampledPath[], correct?: boolean): Side[] => random.shuffle(
    paths.filter((path) => correct === undefined || path.correct === correct).map(studentSide));
  const orTeacher = (right: Side[]): Side[] =>
    (right.length > 0 || offer.teacher === undefined ? right : [teacherSide(offer.teacher)]);
  switch (policy) {
    case "paper_cot": return [across(orTeacher(sides(offer.cot, true)), sides(offer.direct))];
    case "answer_only": return [across(orTeacher(sides(offer.direct, true)), sides(offer.direct, false))];
    case "correctness": return [across(sides(offer.cot, true), sides(offer.cot, false))];
    case "mixed": return [
      across(orTeacher(sides(offer.cot, true)), sides(offer.direct, false)),
      across(sides(offer.cot, true), sides(offer.cot, false)),
    ];
  }
}

/**
 * Both lists walked together, the shorter again from its start, so that every completion is used before one is used
 * twice; then the combinations left over.
 */
function across(chosen: readonly Side[], rejected: readonly Side[]): Candidate[] {
  const [n, m] = [chosen.length, rejected.length];
  if (n === 0 || m === 0) return [];
  const shorter = Math.min(n, m);
  const longer = Math.max(n, m);
  const pairs: Candidate[] = [];
  for (let shift = 0; shift < shorter; shift++) {
    for (let i = 0; i < longer; i++) {
      const [long, short] = [i, (i + shift) % shorter];
      const [c, r] = n >= m ? [long, short] : [short, long];
      pairs.push({ chosen: chosen[c] as Side, rejected: rejected[r] as Side });
    }
  }
  return pairs;
}

function interleave<T>(lists: readonly T[][]): T[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

function studentSide(path: SampledPath): Side {
  return {
    text: path.completion,
    source: path.mode === "cot" ? "student_cot" : "student_direct",
    answer: path.answer,
    correct: path.correct,
    sample: path.sample,
  };
}

function teacherSide(demonstration: Demonstration): Side {
  return { text: demonstration.output, source: "teacher", answer: demonstration.target, correct: true, sample: null };
}
