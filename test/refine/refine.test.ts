// From sampled paths to preferences: each policy on a question laid out by hand, the report's counts, the cap, the
// controls.
import { describe, expect, test } from "@jest/globals";
import type { Demonstration, PreferencePair, Question, SampleMode, SampledPath } from "../../src/data/records";
import { chosenCompletions } from "../../src/refine/chosen-completions";
import { type PairOptions, pairOptions } from "../../src/refine/options";
import { buildPairs } from "../../src/refine/pairs";
import { majority, scorePath, targetsOf } from "../../src/refine/reward";
import { distinct, jaccard } from "../../src/refine/similarity";
import { getTask } from "../../src/tasks";

const task = getTask("gsm8k");

function question(id: string, gold = "5"): Question {
  return { id, task: "gsm8k", split: "train", question: `Question ${id}?`, gold };
}

function path(id: string, mode: SampleMode, completion: string, sample = 0, finish: "stop" | "length" = "stop"): SampledPath {
  return {
    id, task: "gsm8k", prompt: `${mode}:${id}`, instruction: "I", input: "Q", mode, sample, completion,
    finish_reason: finish, logp: -1, answer: null, correct: null,
  };
}

function demo(id: string, output: string): Demonstration {
  const target = task.extract(output, question(id));
  return {
    id, task: "gsm8k", instruction: "I", input: "Q", output, target, gold: "5", correct: target === "5", teacher: "t",
    answer_first: false,
  };
}

const RIGHT = "2 + 3 = 5. The answer is 5.";
const OTHER = "1 + 4 = 5. The answer is 5.";
const WRONG = "2 + 3 = 6. The answer is 6.";
const TAUGHT = "First, 2 + 3 = 5. The answer is 5.";

function build(paths: SampledPath[], options: Partial<PairOptions> = {}, demonstrations: Demonstration[] = [demo("a", TAUGHT)]) {
  const ids = [...new Set([...paths, ...demonstrations].map((one) => one.id))];
  return buildPairs({
    task, questions: ids.map((id) => question(id)), demonstrations, paths,
    renderPrompt: ({ input }, trigger) => `${input}${trigger ? " T" : ""}`,
  }, { ...(options.policy === "correctness" ? {} : { max_teacher_share: 1 }), ...options });
}

const texts = (pairs: readonly PreferencePair[]) => pairs.map((pair) => [pair.chosen, pair.rejected]).sort();

describe("paper_cot: a right reasoned path over the direct answer, right or wrong", () => {
  test("right path over each direct answer", () => {
    const { pairs, report } = build([
      path("a", "cot", RIGHT), path("a", "cot", WRONG, 1),
      path("a", "direct", "The answer is 5."), path("a", "direct", "The answer is 7.", 1),
    ]);
    expect(texts(pairs)).toEqual([[RIGHT, "The answer is 5."], [RIGHT, "The answer is 7."]]);
    expect(report).toMatchObject({
      pairs: 2, rejected_correct: 1, teacher_share: 0, all_right: 0, all_wrong: 0,
    });
    expect(pairs[0]).toMatchObject({
      prompt: "Q", policy: "paper_cot", chosen_source: "student_cot", rejected_source: "student_direct",
      chosen_answer: "5", chosen_correct: true, chosen_sample: 0, iteration: 0, id: "a", task: "gsm8k",
    });
  });
  test("the teacher stands in where no path is right", () => {
    const { pairs, report } = build([path("a", "cot", WRONG), path("a", "direct", "The answer is 7.")]);
    expect(texts(pairs)).toEqual([[TAUGHT, "The answer is 7."]]);
    expect(pairs[0]).toMatchObject({
      chosen_source: "teacher", chosen_sample: null, rejected_correct: false,
    });
    expect(report).toMatchObject({
      teacher_share: 1, all_wrong: 1, chosen_source: { teacher: 1, student_cot: 0 },
    });
  });
  test("equal texts are no pair, however they are spaced", () => {
    const { pairs, report } = build([path("a", "cot", RIGHT), path("a", "direct", ` ${RIGHT.toUpperCase()}\n`)]);
    expect(pairs).toEqual([]);
    expect(report).toMatchObject({ identical: 1, all_right: 1 });
  });
});

test("answer_only: right direct over wrong direct, the teacher where none is right, nothing where none is wrong", () => {
  const [right, wrong] = [path("a", "direct", "The answer is 5."), path("a", "direct", "The answer is 7.", 1)];
  expect(texts(build([right, wrong], { policy: "answer_only" }).pairs))
    .toEqual([["The answer is 5.", "The answer is 7."]]);
  expect(texts(build([wrong], { policy: "answer_only" }).pairs)).toEqual([[TAUGHT, "The answer is 7."]]);
  expect(build([right], { policy: "answer_only" }).pairs).toEqual([]);
});

test("correctness: right path over wrong path; neither the teacher nor direct answers take part", () => {
  const paths = [path("a", "cot", RIGHT), path("a", "cot", OTHER, 1), path("a", "cot", WRONG, 2), path("a", "direct", "7")];
  expect(texts(build(paths, { policy: "correctness" }).pairs)).toEqual([[OTHER, WRONG], [RIGHT, WRONG]]);
  expect(build([path("a", "cot", WRONG)], { policy: "correctness" }).pairs).toEqual([]);
  expect(build([path("a", "cot", RIGHT)], { policy: "correctness" }).pairs).toEqual([]);
});

test("mixed: wrong direct answers and wrong paths are rejected, right direct answers never", () => {
  const paths = [
    path("a", "cot", RIGHT), path("a", "cot", WRONG, 1), path("a", "direct", "The answer is 5."), path("a", "direct", "7", 1),
  ];
  expect(texts(build(paths, { policy: "mixed" }).pairs)).toEqual([[RIGHT, WRONG], [RIGHT, "7"]].sort());
  const fine = build([path("a", "cot", RIGHT), path("a", "direct", "The answer is 5.")], { policy: "mixed" });
  expect(fine.pairs).toEqual([]);
  expect(fine.report).toMatchObject({ all_right: 1, paired_questions: 0 });
});

describe("targets", () => {
  const paths = [path("a", "cot", WRONG), path("a", "cot", RIGHT, 1), path("a", "direct", "7")];
  test("the teacher's answer decides by default, though gold says otherwise", () => {
    const { pairs } = build(paths, {}, [demo("a", WRONG)]);
    expect(pairs.map((pair) => pair.chosen)).toEqual([WRONG]);
    expect(build(paths, { target_source: "gold" }, [demo("a", WRONG)]).pairs.map((pair) => pair.chosen))
      .toEqual([RIGHT]);
  });
  test("a teacher that is wrong by gold does not stand in", () => {
    const only = [path("a", "cot", "I do not know."), path("a", "direct", "7")];
    expect(build(only, { target_source: "gold" }, [demo("a", WRONG)]).pairs).toEqual([]);
  });
  test("no readable teacher, no target; most demonstrations decide, the earlier of equals", () => {
    expect(build(paths, {}, [demo("a", "Who knows?")]).report).toMatchObject({ without_target: 1, pairs: 0 });
    const targets = targetsOf(task, [question("a")], [demo("a", WRONG), demo("a", RIGHT), demo("a", OTHER)], "teacher");
    expect(targets.get("a")).toBe("5");
    expect(majority(["6", "5", "5.0", "6.0"], task.equal)).toBe("6");
    expect(majority([], task.equal)).toBeNull();
  });
  test("an unreadable sample is wrong and is counted", () => {
    expect(scorePath(task, question("a"), path("a", "cot", "five"), "5")).toMatchObject({
      answer: null, correct: false, target: "5",
    });
    const { report } = build([path("a", "cot", "five"), path("a", "cot", RIGHT, 1), path("a", "direct", "7")]);
    expect(report.cot).toMatchObject({ samples: 2, correct: 1, unreadable: 1 });
  });
});

describe("sieves, limits and the report", () => {
  test("cut samples and duplicates take no part", () => {
    const { pairs, report } = build([
      path("a", "cot", RIGHT, 0, "length"), path("a", "cot", OTHER, 1), path("a", "cot", OTHER.toLowerCase(), 2),
      path("a", "direct", "7"), path("a", "direct", " 7 ", 1), path("a", "direct", "", 2),
    ]);
    expect(texts(pairs)).toEqual([[OTHER, "7"]]);
    expect(report).toMatchObject({
      cot: { samples: 3, truncated: 1, duplicates: 1 }, direct: { samples: 3, truncated: 1, duplicates: 1 },
    });
  });
  test("too similar samples are duplicates when asked for; a sign is a difference", () => {
    const paths = [path("a", "cot", RIGHT), path("a", "cot", `${RIGHT.slice(0, -1)}!`, 1), path("a", "direct", "7")];
    expect(build(paths).pairs).toHaveLength(2);
    expect(build(paths, { max_similarity: 0.7 }).pairs).toHaveLength(1);
    expect(distinct(["9 + 3 = 1", "9 - 3 = 1"], (text) => text)).toHaveLength(2);
    expect(jaccard("a b c", "b c d")).toBe(0.5);
  });
  test("at most max_pairs_per_question, every sample used once before one is used twice", () => {
    const cots = Array.from({ length: 4 }, (_, i) => path("a", "cot", `${i} + ${5 - i} = 5. The answer is 5.`, i));
    const directs = Array.from({ length: 3 }, (_, i) => path("a", "direct", `The answer is ${i + 10}.`, i));
    const all = build([...cots, ...directs], { max_pairs_per_question: 99 });
    expect(new Set(all.pairs.map((pair) => `${pair.chosen}${pair.rejected}`)).size).toBe(12);
    const { pairs, report } = build([...cots, ...directs], { max_pairs_per_question: 4 });
    expect(new Set(pairs.map((pair) => pair.chosen)).size).toBe(4);
    expect(new Set(pairs.map((pair) => pair.rejected)).size).toBe(3);
    expect(report).toMatchObject({ pairs: 4, over_maximum: 8 });
  });
  test("the teacher's share is capped, the surplus left out and reported", () => {
    const ids = Array.from({ length: 10 }, (_, i) => `q${i}`);
    const paths = ids.flatMap((id, i) => [path(id, "cot", i < 4 ? RIGHT : WRONG), path(id, "direct", "7")]);
    const demonstrations = ids.map((id) => demo(id, TAUGHT));
    const share = (max: number) => build(paths, { max_teacher_share: max }, demonstrations).report;
    expect(share(1)).toMatchObject({ pairs: 10, teacher_share: 0.6, over_teacher_share: 0 });
    expect(share(0.5)).toMatchObject({
      pairs: 8, teacher_share: 0.5, teacher_share_uncapped: 0.6, over_teacher_share: 2,
    });
    expect(share(0.2)).toMatchObject({ pairs: 5, teacher_share: 0.2 });
    expect(share(0)).toMatchObject({ pairs: 4, teacher_share: 0, over_teacher_share: 6 });
  });
  test("the length gap in words", () => {
    const { report } = build([path("a", "cot", RIGHT), path("a", "direct", "The answer is 7.")]);
    expect(report.length).toEqual({
      chosen_mean: 9, rejected_mean: 4, gap_mean: 5, gap_stdev: 0, chosen_longer: 1,
    });
    expect(build([]).report).toMatchObject({ without_samples: 1, length: { gap_mean: 0, chosen_longer: 0 } });
  });
  test("how often the answer stands before the reasoning, by side; one sentence has no order", () => {
    const hasty = "The answer is 6. Since 2 + 3 = 6.";
    const { report } = build([
      path("a", "cot", RIGHT), path("a", "cot", hasty, 1), path("b", "cot", OTHER), path("b", "cot", "The answer is 6.", 1),
    ], { policy: "correctness" }, [demo("a", TAUGHT), demo("b", TAUGHT)]);
    expect(report).toMatchObject({
      pairs: 2,
      order: { chosen: { answer_first: 0, order_known: 2 }, rejected: { answer_first: 1, order_known: 1 } },
    });
  });
  test("same seed, same pairs; a question's lot does not depend on the others; the prompt follows dpo_prompt", () => {
    const cots = Array.from({ length: 6 }, (_, i) => path("a", "cot", `${i} + ${5 - i} = 5. The answer is 5.`, i));
    const paths = [...cots, path("a", "direct", "7"), path("b", "cot", WRONG), path("b", "direct", "7")];
    const options = { seed: 3, max_pairs_per_question: 2 };
    const both = build(paths, options, [demo("a", TAUGHT), demo("b", TAUGHT)]).pairs;
    expect(build(paths, options, [demo("a", TAUGHT), demo("b", TAUGHT)]).pairs).toEqual(both);
    expect(build(paths.filter((one) => one.id === "a"), options).pairs)
      .toEqual(both.filter((pair) => pair.id === "a"));
    const seeds = [0, 1, 2, 3, 4].map((seed) => JSON.stringify(build(paths, { ...options, seed }, [demo("a", TAUGHT)]).pairs));
    expect(new Set(seeds).size).toBeGreaterThan(1);
    expect(build(paths, { dpo_prompt: "cot", iteration: 2 }).pairs[0]).toMatchObject({
      prompt: "Q T", iteration: 2,
    });
  });
  test("options are refused by name", () => {
    expect(() => pairOptions({ max_teacher_share: 1.5 })).toThrow(/`pairs.max_teacher_share`: .*<=1/);
    expect(() => pairOptions({ policy: "best" as "mixed" })).toThrow(/`pairs.policy` is "best", wanted one of paper_cot, answer_only,/);
    expect(() => pairOptions({ max_pairs_per_question: 0 })).toThrow(/`pairs.max_pairs_per_question`: .*>=1/);
    expect(() => pairOptions({ max_pair_per_question: 2 } as object)).toThrow(/did you mean `pairs.max_pairs_per_question`\?/);
  });
  test("the teacher's share is no option where the teacher takes no part", () => {
    const given = { policy: "correctness", max_teacher_share: 0.5 } as const;
    expect(() => build([path("a", "cot", RIGHT)], given)).toThrow(
      "`pairs.max_teacher_share` has no effect with `pairs.policy` correctness, which takes no chain of the teacher; leave it out");
    expect(pairOptions({ policy: "correctness" }).policy).toBe("correctness");
  });
});

describe("controls", () => {
  test("the chosen sides alone, each once or as often as chosen", () => {
    const { pairs } = build([path("a", "cot", RIGHT), path("a", "direct", "7"), path("a", "direct", "8", 1)]);
    expect(pairs).toHaveLength(2);
    const row = { id: "a", task: "gsm8k", prompt: "Q", completion: RIGHT };
    expect(chosenCompletions(pairs)).toEqual([row]);
    expect(chosenCompletions(pairs, false)).toEqual([row, row]);
  });
});
