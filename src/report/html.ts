// The report of a run as one HTML file that needs nothing else: no script, no font, no network.
// It does NOT compute: every number is in the summary.
import { type RunSummary } from "../run/summary";
import { stableJson } from "../files";
import { dataSections } from "./data";
import { compact, duration, plural } from "./format";
import { html, Html } from "./markup";
import { resultSection } from "./results";
import { STYLE } from "./style";
import { trainingSection } from "./training";

function lead(summary: RunSummary): Html {
  const { data, student } = summary;
  return html`<p class="lead">Self-refine Instruction-tuning of a student of ${compact(student.parameters)} parameters (${student.path}) on
${plural(data.train.questions, "question")} of ${data.train.task}, examined on ${data.evaluation.map(({ task, questions }) => `${task} (${questions})`).join(", ")}.
Seed ${summary.seed}. ${summary.device}. ${duration(summary.seconds)} of computing.</p>`;
}

function examples({ examples: list }: RunSummary): Html {
  const blocks = list.map(
    (
      one,
    ) => html`<article class="example"><header><span class="soft">${one.task}, ${one.domain}-domain, ${one.id}; gold ${one.gold}</span>
<p>${one.question}</p></header><div class="answers">${one.answers.map(
      ({ model, completion, answer, correct }) => html`<div><span class="soft">${model}</span>
<span class="${correct ? "good" : "bad"}">${correct ? "✓" : "✗"} ${answer ?? "no answer"}</span><pre>${completion}</pre></div>`,
    )}</div></article>`,
  );
  return html`<h2>Completions side by side</h2>
<p class="soft">Of each task the first question that was gained by self-refinement, lost, kept right and kept wrong, where there is one.</p>${blocks}`;
}

function measured(summary: RunSummary): Html {
  const stages = summary.stages.map(
    ({ name, key, seconds, cached }) =>
      html`<tr><td>${name}</td><td>${duration(seconds)}</td><td>${cached ? "taken from before" : ""}</td><td><code>${key.slice(0, 16)}</code></td></tr>`,
  );
  return html`<h2>What was measured</h2>
<div class="scroll"><table><thead><tr><th>stage</th><th>time</th><th></th><th>key</th></tr></thead><tbody>${stages}</tbody>
<caption>A key is the hash of a stage's options and inputs: equal keys, equal results, bit for bit, on the same device and instruction set.</caption></table></div>
<details><summary>configuration</summary><pre>${stableJson(summary.config, 2)}</pre></details>`;
}

function notes({ notes: list }: RunSummary): Html | undefined {
  if (list.length === 0) return undefined;
  return html`<h2>Notes</h2><ul>${list.map((note) => html`<li>${note}</li>`)}</ul>`;
}

/** The whole document. */
export function renderReport(summary: RunSummary): string {
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${summary.name}: self-refine report</title><style>${new Html(STYLE)}</style></head>
<body><main><h1>${summary.name}</h1>${lead(summary)}
${resultSection(summary)}${trainingSection(summary.trainings)}${dataSections(summary)}${examples(summary)}${notes(summary)}${measured(summary)}
<footer>selfrefine ${summary.version}</footer></main></body></html>
`;
  return page.text;
}
