// What is to be known about a set of pairs before training on it: where they came from, what was left out and
// why, and the hazards of the method in numbers (length gap, punished right answers, teacher share,
// extraction failures). It does NOT change any pair.

import type { PairPolicy, PairSource, PreferencePair, SampledPath } from "../data/records";

export interface SampleCounts {
  samples: number;
  correct: number;
  /** No final answer could be read; they count as wrong. */
  unreadable: number;
  /** Cut by the length limit: in no pair, since they have no end. */
  truncated: number;
  duplicates: number;
}

export interface PairReport {
  policy: PairPolicy;
  target_source: "teacher" | "gold";
  dpo_prompt: "plain" | "cot";
  iteration: number;
  questions: number;
  /** No sample was drawn for them. */
  without_samples: number;
  /** The teacher's answer could not be read: nothing to compare with. */
  without_target: number;
  /** Every finished sample is right / none is. */
  all_right: number;
  all_wrong: number;
  /** With at least one pair. */
  paired_questions: number;
  cot: SampleCounts;
  direct: SampleCounts;
  pairs: number;
  /** Chosen and rejected were one text. */
  identical: number;
  /** Left out by max_pairs_per_question and by max_teacher_share. */
  over_maximum: number;
  over_teacher_share: number;
  /** Share of pairs whose chosen side is the teacher's, after and before the cap. */
  teacher_share: number;
  teacher_share_uncapped: number;
  chosen_source: Record<PairSource, number>;
  rejected_source: Record<PairSource, number>;
  /** Pairs that punish a right answer. */
  rejected_correct: number;
  length: LengthGap;
  /** By side: a habit that is rarer among the chosen is what the contrast unlearns. */
  order: Record<PairSide, AnswerOrder>;
}

export type PairSide = "chosen" | "rejected";

export interface AnswerOrder {
  /** The answer stands before the reasoning, of `order_known`: texts of more than one sentence. */
  answer_first: number;
  order_known: number;
}

/** In words, over the pairs. */
export interface LengthGap {
  chosen_mean: number;
  rejected_mean: number;
  /** chosen - rejected. */
  gap_mean: number;
  gap_stdev: number;
  /** Share of pairs whose chosen side is the longer one. */
  chosen_longer: number;
}

/** Why no pair was made, in numbers, and what may help: without pairs there is nothing for DPO to learn. */
export function whyNoPairs(report: PairReport): string {
  const { questions, all_right, all_wrong, without_samples, without_target, identical, over_teacher_share } = report;
  const samples = report.cot.samples + report.direct.samples;
  const truncated = report.cot.truncated + report.direct.truncated;
  const facts: readonly [number, string, string][] = [
    [without_samples, `${without_samples} without a sample`, "draw some"],
    [without_target, `${without_target} without an answer to compare with`, "give demonstrations of them"],
    [truncated, `${truncated} of ${samples} samples cut by the length limit`, "raise `sample.max_new_tokens`"],
    [identical, `${identical} pairs of equal texts`, "raise `sample.temperature`"],
    [over_teacher_share, `${over_teacher_share} pairs, all the teacher's, over the limit of them`,
      "raise `pairs.max_teacher_share`"],
    [all_wrong, "", "instruct the student longer, or draw more with `sample.n_cot`"],
    [all_right, "", "raise `sample.temperature`, or ask harder questions"],
  ];
  const found = facts.filter(([count]) => count > 0);
  const counts = [
    `of ${questions} questions ${all_right} were answered right by every sample and ${all_wrong} wrong by every sample`,
    ...found.map(([, what]) => what).filter((what) => what !== ""),
  ];
  const remedies = new Set(found.map(([, , remedy]) => remedy));
  return `no preference pairs: ${counts.join(", ")}${remedies.size > 0 ? `; ${[...remedies].join("; ")}` : ""}`;
}

export function emptySampleCounts(): SampleCounts {
  return { samples: 0, correct: 0, unreadable: 0, truncated: 0, duplicates: 0 };
}

/** Adds scored paths of one mode; `finished` and `kept` are those left after each sieve. */
export function countSamples(
  counts: SampleCounts, scored: readonly SampledPath[], finished: number, kept: number,
): void {
  counts.samples += scored.length;
  counts.correct += scored.filter((path) => path.correct === true).length;
  counts.unreadable += scored.filter((path) => path.answer === null).length;
  counts.truncated += scored.length - finished;
  counts.duplicates += finished - kept;
}

export function countSources(
  pairs: readonly PreferencePair[], side: "chosen_source" | "rejected_source",
): Record<PairSource, number> {
  const counts: Record<PairSource, number> = { student_cot: 0, student_direct: 0, teacher: 0 };
  for (const pair of pairs) counts[pair[side]] += 1;
  return counts;
}

/** @param answersFirst of a text and the id of its question; null where it has no order */
export function answerOrder(
  pairs: readonly PreferencePair[], side: PairSide, answersFirst: (id: string, text: string) => boolean | null,
): AnswerOrder {
  const known = pairs.map((pair) => answersFirst(pair.id, pair[side])).filter((first) => first !== null);
  return { answer_first: known.filter((first) => first).length, order_known: known.length };
}

export function lengthGap(pairs: readonly PreferencePair[]): LengthGap {
  const chosen = pairs.map((pair) => wordCount(pair.chosen));
  const gaps = pairs.map((pair, i) => (chosen[i] ?? 0) - wordCount(pair.rejected));
  const gap = mean(gaps);
  return {
    chosen_mean: mean(chosen),
    rejected_mean: mean(chosen) - gap,
    gap_mean: gap,
    gap_stdev: Math.sqrt(mean(gaps.map((one) => (one - gap) ** 2))),
    chosen_longer: mean(gaps.map((one) => Number(one > 0))),
  };
}

function wordCount(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

/** 0 of nothing. */
function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
