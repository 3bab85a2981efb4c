// Which options of a run file need others to matter or to be there at all. It does NOT check types: the
// schema does.
import { isProcedural, TASK_NAMES } from "../tasks";
import { dpoRules, generationRules, modelRules, pairRules, sftRules } from "./effects";
import { idle, type Issue, type KeyPath, showPath } from "./issues";
import type { DpoOptions, ModelOptions } from "./options";
import { mark, noChoice } from "./names";
import { rejectionOptions, type RunConfig, type SampleOptions, type TaskSource, wordproblemOptions } from "./run-options";
import { teacherRules } from "./teacher-rules";

interface Rule {
  option: string;
  hasEffect: (options: never, run: RunConfig) => boolean;
  because: string;
  instead?: string;
}

const decodingRules = generationRules.filter(({ option }) => option !== "num_samples") as readonly Rule[];

const tokenizerRules: readonly Rule[] = ["vocab_size", "split_digits"].map((option) => ({
  option,
  hasEffect: (_, run) => run.student.from_scratch?.tokenizer === undefined,
  because: "with from_scratch.tokenizer, which is not trained",
}));

const wordproblemRules: readonly Rule[] = Object.keys(wordproblemOptions.shape).map((option) => ({
  option,
  hasEffect: (_, { tasks }) =>
    [tasks.train, ...tasks.in_domain, ...tasks.out_domain].some(({ task }) => isProcedural(task)),
  because: "where no task is procedural",
}));

const rejectionRules: readonly Rule[] = Object.keys(rejectionOptions.shape).map((option) => ({
  option,
  hasEffect: (_, { controls }) => controls.includes("rejection_sampling"),
  because: "unless controls has rejection_sampling",
}));

const adapterRules: readonly Rule[] = [
  {
    option: "optim_states",
    hasEffect: (options: ModelOptions, run) => options.optim_states === "float32" || run.lora === undefined
      || run.student.from_scratch?.pretrain !== undefined,
    because: "with lora: adapters, which are small, always have float32 states",
  },
];

const referenceRules: readonly Rule[] = [
  {
    option: "reference",
    hasEffect: (options: DpoOptions, run) =>
      options.reference === "start" || run.lora !== undefined || run.student.path !== undefined,
    because: "as base without lora: a model without adapters is its own base",
  },
];

/** By section; `path` leads to the section. */
const SECTIONS: readonly { path: KeyPath; rules: readonly Rule[] }[] = [
  { path: ["model"], rules: modelRules as readonly Rule[] },
  { path: ["model"], rules: adapterRules },
  { path: ["sft"], rules: sftRules as readonly Rule[] },
  { path: ["dpo"], rules: dpoRules as readonly Rule[] },
  { path: ["dpo"], rules: referenceRules },
  { path: ["sample"], rules: decodingRules },
  { path: ["evaluation"], rules: decodingRules },
  { path: ["teacher"], rules: teacherRules as readonly Rule[] },
  { path: ["pairs"], rules: pairRules as readonly Rule[] },
  { path: ["student", "from_scratch"], rules: tokenizerRules },
  { path: ["student", "from_scratch", "pretrain"], rules: sftRules as readonly Rule[] },
  { path: ["wordproblems"], rules: wordproblemRules },
  { path: ["rejection"], rules: rejectionRules },
];

function at(value: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (here, key) => (here as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
}

/** Options that were set and would be ignored. */
export function idleOptions(given: unknown, run: RunConfig): Issue[] {
  return SECTIONS.flatMap(({ path, rules }) => {
    const set = (at(given, path) ?? {}) as object;
    const options = at(run, path) as never;
    return rules
      .filter((rule) => rule.option in set && !rule.hasEffect(options, run))
      .map((rule) => idle(rule as never, path));
  });
}

function taskIssues(source: TaskSource, path: KeyPath, name: string): Issue[] {
  if (!TASK_NAMES.includes(source.task)) {
    return [{ path: [...path, "task"], text: noChoice("task", source.task, TASK_NAMES, mark(`${name}.task`)) }];
  }
  if (isProcedural(source.task) && source.data !== undefined) {
    return [
      { path: [...path, "data"], text: `${name}.data has no effect: ${source.task} makes its own questions` },
    ];
  }
  if (!isProcedural(source.task) && source.data === undefined) {
    return [{ path, text: `${name}.data is missing: ${source.task} reads its questions from a folder` }];
  }
  return [];
}

function studentIssues(run: RunConfig): Issue[] {
  const { path, base_model: base, tokenizer, from_scratch: scratch } = run.student;
  if ((path === undefined) === (scratch === undefined)) {
    return [{ path: ["student"], text: "student: give one of path and from_scratch" }];
  }
  if (path?.endsWith(".bin") && tokenizer === undefined) {
    return [
      {
        path: ["student", "path"],
        text: "student.tokenizer is missing: a llama2.c file has none of its own",
      },
    ];
  }
  if (path === undefined && tokenizer !== undefined) {
    return [
      {
        path: ["student", "tokenizer"],
        text: "student.tokenizer has no effect without student.path; " + "see student.from_scratch.tokenizer",
      },
    ];
  }
  if (path === undefined && base !== undefined) {
    return [
      {
        path: ["student", "base_model"],
        text: "student.base_model has no effect without student.path, an adapter; leave it out",
      },
    ];
  }
  const heads = scratch && scratch.num_attention_heads % scratch.num_key_value_heads !== 0;
  return heads
    ? [
        {
          path: ["student", "from_scratch", "num_key_value_heads"],
          text: "student.from_scratch: num_attention_heads must be a multiple of num_key_value_heads",
        },
      ]
    : [];
}

/** What is wrong with how many paths are to be drawn, and how. */
export function pathIssues(sample: Pick<SampleOptions, "n_cot" | "n_direct" | "temperature">): Issue[] {
  const issues: Issue[] = [];
  if (sample.n_cot + sample.n_direct === 0) {
    issues.push({
      path: ["sample"],
      text: "`sample.n_cot` and `sample.n_direct` are both 0: nothing would be sampled",
    });
  }
  if (sample.temperature === 0 && Math.max(sample.n_cot, sample.n_direct) > 1) {
    issues.push({
      path: ["sample", "temperature"],
      text:
        "`sample.temperature` 0 is greedy: more than one completion of a prompt would be the same; " +
        "set `sample.n_cot` and `sample.n_direct` to at most 1",
    });
  }
  return issues;
}

/** Paths of which no pair can come would be noticed after hours of training and sampling. */
function pairingIssues({ pairs: { policy }, sample: { n_cot, n_direct } }: RunConfig): Issue[] {
  const least = { paper_cot: "n_direct", answer_only: "n_direct", correctness: "n_cot", mixed: "n_cot" } as const;
  const isEnough = {
    paper_cot: n_direct >= 1,
    answer_only: n_direct >= 1,
    correctness: n_cot >= 2,
    mixed: n_direct >= 1 || n_cot >= 2,
  }[policy];
  if (isEnough) return [];
  const option = least[policy];
  const wanted = option === "n_cot" ? 2 : 1;
  return [
    {
      path: ["sample", option],
      text: `sample.${option}: pairs.policy ${policy} wants at least ${wanted}, or there can be no pair`,
    },
  ];
}

function samplingIssues(run: RunConfig): Issue[] {
  const issues = [...pathIssues(run.sample), ...pairingIssues(run)];
  if (run.evaluation.votes > 1 && run.evaluation.temperature === 0) {
    issues.push({ path: ["evaluation", "votes"], text: "evaluation.votes has no effect with temperature 0" });
  }
  return issues;
}

function teacherIssues({ teacher }: RunConfig): Issue[] {
  if (teacher.kind === "file" && teacher.files.length === 0) {
    return [{ path: ["teacher"], text: "teacher.files is missing: kind file reads answers from files" }];
  }
  return [];
}

/** Every question is examined once, and belongs to one domain: the paired tests rest on it. */
function evaluationIssues({ tasks }: RunConfig): Issue[] {
  const sources = (["in_domain", "out_domain"] as const).flatMap((domain) =>
    tasks[domain].map((source, index) => ({ source, domain, path: ["tasks", domain, index] })));
  return sources.flatMap(({ source: { task, split }, domain, path }, place) => {
    const same = sources.slice(0, place).find(({ source }) => source.task === task);
    if (same === undefined || (same.domain === domain && same.source.split !== split)) return [];
    const name = showPath(path);
    const why = same.domain === domain ? "with the same split" : "of the other domain";
    return [{ path, text: `${name}: ${task} stands in ${showPath(same.path)} too, ${why}; leave one out` }];
  });
}

/** What the sections must be to go together. */
export function crossChecks(run: RunConfig): Issue[] {
  return [
    ...studentIssues(run),
    ...teacherIssues(run),
    ...samplingIssues(run),
    ...evaluationIssues(run),
    ...taskIssues(run.tasks.train, ["tasks", "train"], "tasks.train"),
    ...(["in_domain", "out_domain"] as const).flatMap((domain) =>
      run.tasks[domain].flatMap((source, index) =>
        taskIssues(source, ["tasks", domain, index], `tasks.${domain}[${index}]`),
      ),
    ),
  ];
}
