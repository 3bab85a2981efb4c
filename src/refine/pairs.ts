// Sampled paths to preference pairs: score, sieve, pair by policy, cap the teacher's share, report
// everything. Deterministic: each question's lot depends on the seed and its id alone. It does NOT sample,
// compute log-probabilities or train; how a prompt is rendered is the caller's.

import type { Demonstration, PreferencePair, Question, SampleMode, SampledPath } from "../data/records";
import { answersFirst } from "../tasks/answer-order";
import { KeyedRandom } from "../tasks/random";
import type { Task } from "../tasks/task";
import { type Candidate, type Offer, candidatesOf } from "./candidates";
import { type PairOptions, pairOptions } from "./options";
import {
  type PairReport, type PairSide, type SampleCounts, answerOrder, countSamples, countSources, emptySampleCounts,
  lengthGap,
} from "./report";
import { groupById, scorePath, targetsOf } from "./reward";
import { distinct } from "./similarity";

export interface PairInput {
  task: Task;
  questions: readonly Question[];
  /** The teacher's, for targets and for the fallback. */
  demonstrations: readonly Demonstration[];
  paths: readonly SampledPath[];
  /** The student's prompt for a question, with or without the trigger. */
  renderPrompt(parts: { instruction: string; input: string }, trigger: boolean): string;
}

export interface PairSet {
  pairs: PreferencePair[];
  report: PairReport;
}

/** Pairs in the order of the questions. Errors: ERR_INVALID_ARGUMENT on options. */
export function buildPairs(input: PairInput, given: Partial<PairOptions> = {}): PairSet {
  const options = pairOptions(given);
  const builder = new PairBuilder(input, options);
  for (const question of input.questions) builder.add(question);
  return builder.finish();
}

class PairBuilder {
  private readonly pairs: PreferencePair[] = [];
  private readonly targets: ReadonlyMap<string, string>;
  private readonly paths: ReadonlyMap<string, SampledPath[]>;
  private readonly demonstrations: ReadonlyMap<string, Demonstration[]>;
  private readonly questions: ReadonlyMap<string, Question>;
  private readonly cot = emptySampleCounts();
  private readonly direct = emptySampleCounts();
  private readonly counts = {
    without_samples: 0, without_target: 0, all_right: 0, all_wrong: 0, identical: 0, over_maximum: 0,
  };

  constructor(private readonly input: PairInput, private readonly options: PairOptions) {
    this.targets = targetsOf(input.task, input.questions, input.demonstrations, options.target_source);
    this.paths = groupById(input.paths);
    this.demonstrations = groupById(input.demonstrations);
    this.questions = new Map(input.questions.map((question) => [question.id, question]));
  }

  add(question: Question): void {
    const drawn = this.paths.get(question.id) ?? [];
    const target = this.targets.get(question.id);
    if (drawn.length === 0) this.counts.without_samples += 1;
    if (target === undefined) this.counts.without_target += 1;
    if (drawn.length === 0 || target === undefined) return;
    const scored = drawn.map((path) => scorePath(this.input.task, question, path, target));
    const offer: Offer = {
      id: question.id,
      cot: this.sieve(scored, "cot", this.cot),
      direct: this.sieve(scored, "direct", this.direct),
      ...this.fallback(question, target),
    };
    this.countOutcome([...offer.cot, ...offer.direct]);
    const { pairs, identical } = candidatesOf(this.options.policy, offer, this.options.seed);
    this.counts.identical += identical;
    this.counts.over_maximum += Math.max(0, pairs.length - this.options.max_pairs_per_question);
    const kept = pairs.slice(0, this.options.max_pairs_per_question);
    this.pairs.push(...kept.map((candidate) => this.record(question, drawn[0] as SampledPath, candidate)));
  }

  finish(): PairSet {
    const { options } = this;
    const pairs = capTeacher(this.pairs, options);
    const share = (list: readonly PreferencePair[]): number =>
      (list.length === 0 ? 0 : list.filter((pair) => pair.chosen_source === "teacher").length / list.length);
    const order = (side: PairSide) => answerOrder(pairs, side, this.answersFirst);
    const report: PairReport = {
      policy: options.policy,
      target_source: options.target_source,
      dpo_prompt: options.dpo_prompt,
      iteration: options.iteration,
      questions: this.input.questions.length,
      ...this.counts,
      paired_questions: new Set(pairs.map((pair) => pair.id)).size,
      cot: this.cot,
      direct: this.direct,
      pairs: pairs.length,
      over_teacher_share: this.pairs.length - pairs.length,
      teacher_share: share(pairs),
      teacher_share_uncapped: share(this.pairs),
      chosen_source: countSources(pairs, "chosen_source"),
      rejected_source: countSources(pairs, "rejected_source"),
      rejected_correct: pairs.filter((pair) => pair.rejected_correct === true).length,
      length: lengthGap(pairs),
      order: { chosen: order("chosen"), rejected: order("rejected") },
    };
    return { pairs, report };
  }

  private readonly answersFirst = (id: string, text: string): boolean | null =>
    answersFirst(this.input.task, this.questions.get(id) as Question, text);

  private sieve(scored: readonly SampledPath[], mode: SampleMode, counts: SampleCounts): SampledPath[] {
    const all = scored.filter((path) => path.mode === mode);
    const finished = all.filter((path) => path.finish_reason === "stop" && path.completion.trim() !== "");
    const kept = distinct(finished, (path) => path.completion, this.options.max_similarity);
    countSamples(counts, all, finished.length, kept.length);
    return kept;
  }

  /** The teacher may stand in only with a chain that ends in the target. */
  private fallback(question: Question, target: string): { teacher?: Demonstration } {
    const teacher = this.demonstrations.get(question.id)
      ?.find((one) => one.target !== null && this.input.task.equal(one.target, target));
    return teacher === undefined ? {} : { teacher };
  }

  private countOutcome(paths: readonly SampledPath[]): void {
    const right = paths.filter((path) => path.correct === true).length;
    this.counts.all_right += Number(paths.length > 0 && right === paths.length);
    this.counts.all_wrong += Number(paths.length > 0 && right === 0);
  }

  /** The prompt puts the question as it was put when the paths were drawn. */
  private record(question: Question, drawn: SampledPath, { chosen, rejected }: Candidate): PreferencePair {
    const { instruction, input } = drawn;
    return {
      prompt: this.input.renderPrompt({ instruction, input }, this.options.dpo_prompt === "cot"),
      chosen: chosen.text,
      rejected: rejected.text,
      id: question.id,
      task: question.task,
      policy: this.options.policy,
      chosen_source: chosen.source,
      rejected_source: rejected.source,
      chosen_answer: chosen.answer,
      rejected_answer: rejected.answer,
      chosen_correct: chosen.correct,
      rejected_correct: rejected.correct,
      chosen_sample: chosen.sample,
      rejected_sample: rejected.sample,
      iteration: this.options.iteration,
    };
  }
}

/** Of n other pairs at most s n / (1 - s) of the teacher's stay, so that their share is at most s. */
function capTeacher(pairs: readonly PreferencePair[], options: PairOptions): PreferencePair[] {
  const share = options.max_teacher_share;
  const taught = pairs.filter((pair) => pair.chosen_source === "teacher");
  const others = pairs.length - taught.length;
  const allowed = share === 1 ? taught.length : Math.floor(share * others / (1 - share) + 1e-9);
  if (taught.length <= allowed) return [...pairs];
  const kept = new Set(new KeyedRandom(options.seed, "teacher share").shuffle(taught).slice(0, allowed));
  return pairs.filter((pair) => pair.chosen_source !== "teacher" || kept.has(pair));
}
