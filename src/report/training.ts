// The report's part on training: one block of plots for each stage that trained, and what its rows looked
// like. It does NOT know what is good or bad.
import type { TrainingSummary } from "../run/summary";
import type { LoggedStep } from "../run/training-log";
import { lineChart, type LineChart } from "./chart";
import { compact, percent, plural } from "./format";
import { html, type Html } from "./markup";

type Metric = Exclude<keyof LoggedStep, "step" | "total_steps">;

interface Plot extends Omit<LineChart, "series"> {
  metrics: readonly (readonly [Metric, string])[];
}

const LOSS: Plot = { title: "Loss", yLabel: "nats", metrics: [["loss", "loss"]] };
const ENTROPY: Plot = { title: "Entropy", yLabel: "nats a token", metrics: [["entropy", "entropy"]] };

const INSTRUCTION: readonly Plot[] = [
  LOSS,
  { title: "Gradient norm", yLabel: "before clipping", metrics: [["grad_norm", "gradient norm"]] },
  {
    title: "Token accuracy",
    yLabel: "share of scored tokens",
    metrics: [["mean_token_accuracy", "token accuracy"]],
  },
  ENTROPY,
];

const PREFERENCE: readonly Plot[] = [
  LOSS,
  {
    title: "Rewards",
    yLabel: "β · log ratio",
    level: { y: 0, label: "" },
    metrics: [
      ["rewards/chosen", "chosen"],
      ["rewards/rejected", "rejected"],
    ],
  },
  {
    title: "Reward margin",
    yLabel: "chosen − rejected",
    level: { y: 0, label: "" },
    metrics: [["rewards/margins", "margin"]],
  },
  {
    title: "Reward accuracy",
    yLabel: "share of pairs",
    level: { y: 0.5, label: "chance" },
    metrics: [["rewards/accuracies", "accuracy"]],
  },
  {
    title: "Log-probabilities",
    yLabel: "nats, whole completion",
    metrics: [
      ["logps/chosen", "chosen"],
      ["logps/rejected", "rejected"],
    ],
  },
  {
    title: "Estimated KL to the reference",
    yLabel: "nats",
    level: { y: 0, label: "" },
    metrics: [["objective/kl", "KL"]],
  },
  ENTROPY,
  {
    title: "Mean logit",
    yLabel: "over tokens and vocabulary",
    metrics: [
      ["logits/chosen", "chosen"],
      ["logits/rejected", "rejected"],
    ],
  },
];

/** Undefined where no step has the metric: it was logged by a version that did not know it. */
function plotOf({ metrics, ...chart }: Plot, steps: readonly LoggedStep[]): Html | undefined {
  const series = metrics.map(([metric, name]) => ({
    name,
    points: steps.flatMap((step) => {
      const y = step[metric];
      return y === undefined ? [] : [[step.step, y] as const];
    }),
  }));
  return series.every(({ points }) => points.length === 0) ? undefined : lineChart({ ...chart, series });
}

function rowFacts({ counts, audit }: TrainingSummary): string {
  const facts = [`${plural(counts.rows, "row")}, ${plural(counts.steps, "step")}`];
  if (counts.dropped > 0) facts.push(`${counts.dropped} rows too long and left out`);
  if (counts.truncated > 0) facts.push(`${counts.truncated} rows cut`);
  if (audit) {
    facts.push(
      `${compact(audit.tokens)} tokens, ${percent(audit.maskedShare)} of them prompt, longest ${audit.longest}`,
    );
    const found = Object.entries(audit.issues)
      .filter(([, { count }]) => count > 0)
      .map(([issue, { count }]) => `${issue.replaceAll("_", " ")} in ${count}`);
    facts.push(found.length > 0 ? `audit: ${found.join(", ")}` : "audit: no findings");
  }
  return facts.join("; ");
}

export function trainingSection(trainings: readonly TrainingSummary[]): Html {
  const blocks = trainings
    .filter(({ steps }) => steps.length > 0)
    .map((training) => {
      const isPreference = training.steps[0]?.["rewards/margins"] !== undefined;
      const plots = isPreference ? PREFERENCE : INSTRUCTION;
      return html`<h3>${training.stage}</h3><p class="soft">${rowFacts(training)}.</p>
<div class="plots">${plots.map((plot) => plotOf(plot, training.steps))}</div>`;
    });
  return html`<h2>Training</h2>${blocks}`;
}
