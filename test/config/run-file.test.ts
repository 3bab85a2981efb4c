// Run files: what is accepted, and that every fault names file, line, key and remedy.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { parseRunConfig, readRunFile } from "../../src/config/run-file";
import type { RunConfig } from "../../src/config/run-options";
import { QUICKSTART } from "../../src/run/quickstart";
import { temporary } from "../cli/command";

const place = temporary();
afterAll(place.remove);

const BASE = `name: x
student:
  from_scratch: { hidden_size: 32, num_attention_heads: 2, num_key_value_heads: 2 }
tasks:
  train: { task: wordproblems }
`;

async function read(text: string, overrides: Record<string, unknown> = {}): Promise<RunConfig> {
  const path = join(place.path, "run.yaml");
  writeFileSync(path, text);
  return readRunFile(path, overrides);
}

const fault = (text: string, overrides: Record<string, unknown> = {}): Promise<string> =>
  read(text, overrides).then(
    () => "accepted",
    (error: Error & { code?: string }) => `[${error.code}] ${error.message}`,
  );

describe("a fault names file, line, key and remedy", () => {
  test.each([
    [
      "an unknown key",
      `${BASE}sft:\n  learning_rte: 1\n`,
      "run.yaml:7: sft.learning_rte: no such option; did you mean sft.learning_rate?",
    ],
    ["an unknown section", `${BASE}sfft: {}\n`, "run.yaml:6: sfft: no such option; did you mean sft?"],
    [
      "a key inside a list",
      `${BASE}  in_domain:\n    - { task: svamp, data: d, spilt: test }\n`,
      "run.yaml:7: tasks.in_domain[0].spilt: no such option; did you mean tasks.in_domain[0].split?",
    ],
    ["a wrong type", `${BASE}dpo:\n  beta: strong\n`, "run.yaml:7: dpo.beta: Invalid input: expected number"],
    [
      "a value out of bounds",
      `${BASE}dpo: { label_smoothing: 0.7 }\n`,
      "run.yaml:6: dpo.label_smoothing: Too big",
    ],
    ["a seed of a stage", `${BASE}sft: { seed: 3 }\n`, "run.yaml:6: sft.seed: no such option"],
    [
      "an idle option",
      `${BASE}dpo: { loss_type: hinge, label_smoothing: 0.1 }\n`,
      "run.yaml:6: dpo.label_smoothing has no effect with dpo.loss_type hinge or ipo; leave it out",
    ],
    [
      "an idle option of a teacher",
      `${BASE}teacher: { kind: procedural, concurrency: 3 }\n`,
      "run.yaml:6: teacher.concurrency has no effect unless teacher.kind is openai",
    ],
    [
      "robust, which is sigmoid without smoothing",
      `${BASE}dpo: { loss_type: robust }\n`,
      "run.yaml:6: dpo.loss_type has no effect as robust without dpo.label_smoothing",
    ],
    [
      "a schedule that the warm-up leaves no step",
      `${BASE}sft: { warmup_ratio: 1, lr_scheduler_type: linear }\n`,
      "run.yaml:6: sft.lr_scheduler_type has no effect with sft.warmup_ratio 1",
    ],
    [
      "a share of teacher's chains where none is taken",
      `${BASE}pairs: { policy: correctness, max_teacher_share: 0.1 }\n`,
      "run.yaml:6: pairs.max_teacher_share has no effect with pairs.policy correctness",
    ],
    [
      "an idle option of the pretraining",
      BASE.replace("2 }", "2, pretrain: { lr_scheduler_type: constant, min_lr_ratio: 0.1 } }"),
      "run.yaml:3: student.from_scratch.pretrain.min_lr_ratio has no effect with student.from_scratch.pretrain.lr_scheduler_type constant",
    ],
    [
      "the size of a vocabulary that is not trained",
      BASE.replace("2 }", "2, tokenizer: t, vocab_size: 300 }"),
      "run.yaml:3: student.from_scratch.vocab_size has no effect with from_scratch.tokenizer",
    ],
    [
      "knobs of word problems without any",
      `${BASE.replace("task: wordproblems", "task: svamp, data: d")}wordproblems: { max_steps: 3 }\n`,
      "run.yaml:6: wordproblems.max_steps has no effect where no task is procedural",
    ],
    [
      "an unknown task",
      BASE.replace("task: wordproblems", "task: wordproblem"),
      'run.yaml:5: tasks.train.task is "wordproblem", wanted one of gsm8k',
    ],
    [
      "a missing folder of a task",
      BASE.replace("wordproblems", "svamp"),
      "run.yaml:5: tasks.train.data is missing",
    ],
    [
      "a folder of a procedural task",
      BASE.replace("task: wordproblems", "task: wordproblems, data: d"),
      "run.yaml:5: tasks.train.data has no effect",
    ],
    [
      "two students",
      BASE.replace("student:", "student:\n  path: m"),
      "student: give one of path and from_scratch",
    ],
    [
      "greedy samples that would be the same",
      `${BASE}sample: { temperature: 0, n_cot: 4 }\n`,
      "run.yaml:6: sample.temperature 0 is greedy",
    ],
    [
      "a vote of greedy samples",
      `${BASE}evaluation: { votes: 4 }\n`,
      "run.yaml:6: evaluation.votes has no effect",
    ],
    [
      "a task of both domains",
      `${BASE}  in_domain: [{ task: wordproblems }]\n  out_domain: [{ task: wordproblems, split: validation }]\n`,
      "run.yaml:7: tasks.out_domain[0]: wordproblems stands in tasks.in_domain[0] too, of the other domain; leave one out",
    ],
    [
      "questions that would be examined twice",
      `${BASE}  in_domain: [{ task: wordproblems }, { task: wordproblems }]\n`,
      "run.yaml:6: tasks.in_domain[1]: wordproblems stands in tasks.in_domain[0] too, with the same split",
    ],
    [
      "samples of which no pair can be made",
      `${BASE}sample: { n_cot: 4, n_direct: 0 }\n`,
      "run.yaml:6: sample.n_direct: pairs.policy paper_cot wants at least 1, or there can be no pair",
    ],
    [
      "options of a control that is not asked for",
      `${BASE}rejection: { distinct: false }\n`,
      "run.yaml:6: rejection.distinct has no effect unless controls has rejection_sampling",
    ],
    ["an option of another section", `beta: 1\n${BASE}`, "run.yaml:1: beta: no such option; did you mean dpo.beta?"],
    [
      "a mistyped word",
      `${BASE}sft: { overlong: turncate }\n`,
      'run.yaml:6: sft.overlong is "turncate", wanted one of error, drop, truncate; did you mean truncate?',
    ],
    [
      "a name of TRL's",
      `${BASE}sample: { max_completion_length: 9 }\n`,
      "run.yaml:6: sample.max_completion_length: no such option; here it is sample.max_new_tokens",
    ],
    [
      "a value of TRL's",
      `${BASE}dpo: { loss_type: sigmoid_norm }\n`,
      "here that is dpo.loss_type sigmoid with dpo.length_normalize",
    ],
    ["broken YAML", `${BASE}sft: [1, 2\n`, "not valid YAML"],
    ["a key twice", `${BASE}name: y\n`, "run.yaml:6: not valid YAML"],
    ["a folder that is not there", `data_dir: nowhere\n${BASE}`, "run.yaml:1: data_dir:"],
    [
      "an environment variable that is not set",
      `data_dir: \${SELFREFINE_NO_SUCH}/data\n${BASE}`,
      "run.yaml:1: data_dir: the environment variable SELFREFINE_NO_SUCH is not set",
    ],
  ])("%s", async (_, text, expected) => {
    expect(await fault(text)).toContain(expected);
    expect(await fault(text)).toMatch(/^\[ERR_CONFIG\]/);
  });

  test("all faults at once", async () => {
    const text = await fault(`${BASE}sft: { learning_rate: -1, epochs: 2 }\nname_: y\n`);
    for (const part of ["sft.learning_rate", "sft.epochs", "name_"]) expect(text).toContain(part);
  });

  test("a file that is not there", async () => {
    await expect(readRunFile(join(place.path, "no.yaml"))).rejects.toMatchObject({ code: "ERR_IO" });
  });
});

describe("what is accepted", () => {
  test("defaults are filled in; the quickstart's configuration is one", async () => {
    const run = await read(BASE);
    expect([
      run.seed,
      run.template,
      run.sft.batch_size,
      run.sample.temperature,
      run.evaluation.temperature,
    ]).toEqual([0, "alpaca", 32, 0.8, 0]);
    expect(parseRunConfig(QUICKSTART).name).toBe("quickstart");
  });

  test("relative paths start at the file, or at data_dir with its variables", async () => {
    mkdirSync(join(place.path, "data"), { recursive: true });
    const tasks = "tasks: { train: { task: svamp, data: svamp } }\nstudent: { path: m }\n";
    expect((await read(tasks)).tasks.train.data).toBe(join(place.path, "svamp"));
    process.env["SELFREFINE_TEST_DATA"] = "data";
    expect((await read(`data_dir: \${SELFREFINE_TEST_DATA}\n${tasks}`)).tasks.train.data).toBe(
      join(place.path, "data", "svamp"),
    );
    expect((await read(`data_dir: \${SELFREFINE_NO_SUCH:-data}\n${tasks}`)).student.path).toBe(
      join(place.path, "data", "m"),
    );
  });

  test("overrides stand in for the file's values and are checked like them", async () => {
    expect((await read(BASE, { "dpo.beta": 0.3, seed: 7 })).dpo.beta).toBe(0.3);
    expect(await fault(`${BASE}dpo: { beta: 1 }\n`, { "dpo.betta": 0.3 })).toBe(
      "[ERR_CONFIG] override: dpo.betta: no such option; did you mean dpo.beta?",
    );
  });

  test("JSON is YAML", async () => {
    expect((await read(JSON.stringify(QUICKSTART))).name).toBe("quickstart");
  });
});
