// The report's part on data: demonstrations, pairs, and the proof that no evaluation question was trained on.
// It does NOT judge.
import type { PairReport, PairSide, SampleCounts } from "../refine/report";
import type { RunSummary } from "../run/summary";
import type { TeacherCounts } from "../teacher/demonstrations";
import { number, percent, plural } from "./format";
import { html, type Html } from "./markup";

const share = (part: number, whole: number): string => (whole === 0 ? "n/a" : percent(part / whole));

function teacherRow(name: string, counts: TeacherCounts): Html {
  return html`<tr><td>${name}</td><td>${counts.demonstrations}</td><td>${counts.extracted}</td>
<td>${counts.correct} of ${counts.with_gold}<small>${share(counts.correct, counts.with_gold)}</small></td>
<td>${share(counts.answer_first, counts.order_known)}</td><td>${counts.cut_off}</td><td>${counts.kept}</td></tr>`;
}

function demonstrations({ demonstrations: report }: RunSummary): Html {
  const teachers = Object.entries(report.by_teacher);
  return html`<h2>Demonstrations</h2>
<p>${plural(report.questions, "train question")}, ${report.covered} of them with a demonstration; filter: ${report.filter}.
${report.not_in_split > 0 && html`${report.not_in_split} answers to other questions were not used.`}
${report.leaked > 0 && html`${plural(report.leaked, "demonstration")} left out, for the question recurs in an evaluation set.`}</p>
<div class="scroll"><table><thead><tr><th>teacher</th><th>answers</th><th>readable</th><th>right</th><th>answer first</th><th>cut off</th><th>kept</th></tr></thead>
<tbody>${teachers.map(([name, counts]) => teacherRow(name, counts))}${teachers.length > 1 && teacherRow("all", report.total)}</tbody>
<caption>Right: the final answer, read strictly, equals gold. Answer first: the answer stands before the reasoning.</caption></table></div>`;
}

function sampleRow(name: string, counts: SampleCounts): Html {
  return html`<tr><td>${name}</td><td>${counts.samples}</td><td>${counts.correct}<small>${share(counts.correct, counts.samples)}</small></td>
<td>${counts.unreadable}<small>${share(counts.unreadable, counts.samples)}</small></td><td>${counts.truncated}</td><td>${counts.duplicates}</td></tr>`;
}

function pairFacts(report: PairReport): [string, string][] {
  const { length, order } = report;
  const first = (side: PairSide): string => share(order[side].answer_first, order[side].order_known);
  return [
    ["pairs, of questions", `${report.pairs}, ${report.paired_questions} of ${report.questions}`],
    ["all samples right / all wrong", `${report.all_right} / ${report.all_wrong} questions`],
    ["without a target / without samples", `${report.without_target} / ${report.without_samples} questions`],
    [
      "chosen from the teacher",
      `${percent(report.teacher_share)}, before the cap ${percent(report.teacher_share_uncapped)}`,
    ],
    [
      "chosen from reasoned / direct samples",
      `${report.chosen_source.student_cot} / ${report.chosen_source.student_direct}`,
    ],
    [
      "rejected from reasoned / direct samples",
      `${report.rejected_source.student_cot} / ${report.rejected_source.student_direct}`,
    ],
    [
      "rejected although right",
      `${report.rejected_correct} (${share(report.rejected_correct, report.pairs)})`,
    ],
    [
      "left out: equal texts / over the maximum / over the teacher's share",
      `${report.identical} / ${report.over_maximum} / ${report.over_teacher_share}`,
    ],
    [
      "length in words, chosen / rejected",
      `${number(length.chosen_mean, 3)} / ${number(length.rejected_mean, 3)}, ` +
        `gap ${number(length.gap_mean, 3)} ± ${number(length.gap_stdev, 3)}, chosen longer in ${percent(length.chosen_longer)}`,
    ],
    ["answer before the reasoning, chosen / rejected", `${first("chosen")} / ${first("rejected")}`],
  ];
}

function pairs({ pairs: reports }: RunSummary): Html {
  const blocks = reports.map(
    (
      report,
    ) => html`<h3>Round ${report.iteration + 1}: policy ${report.policy}, target from ${report.target_source}, scored on the ${report.dpo_prompt} prompt</h3>
<div class="scroll"><table><thead><tr><th>samples</th><th>drawn</th><th>right</th><th>unreadable</th><th>cut at the limit</th><th>duplicates</th></tr></thead>
<tbody>${sampleRow("with the trigger", report.cot)}${sampleRow("without", report.direct)}</tbody></table></div>
<table><tbody>${pairFacts(report).map(([name, value]) => html`<tr><td>${name}</td><td>${value}</td></tr>`)}</tbody></table>`,
  );
  return html`<h2>Reasoning paths and preference pairs</h2>${blocks}`;
}

function leakage({ data }: RunSummary): Html {
  const { found, dropped, left, examples } = data.leakage;
  return html`<h2>Leakage check</h2>
<p>${plural(found.evaluated, "evaluation question")} against ${plural(found.train, "train question")}: ${found.exact} equal in text
(${found.exact_distinct} distinct), ${found.ngram} more share a run of ${found.n} words. ${plural(dropped, "train question")} left out of
training; after that ${left === 0 ? "no evaluation question is in the training data" : `${left} are left`}.
${data.leaked_documents > 0 && html`${plural(data.leaked_documents, "document")} of pre-training left out for the same reason.`}</p>
${
  examples.length > 0 &&
  html`<details><summary>first findings</summary><table><thead><tr><th>evaluation question</th><th>train question</th><th>kind</th><th>shared</th></tr></thead>
<tbody>${examples.map((leak) => html`<tr><td>${leak.id}</td><td>${leak.train_id}</td><td>${leak.kind}</td><td>${leak.shared}</td></tr>`)}</tbody></table></details>`
}`;
}

export function dataSections(summary: RunSummary): Html {
  return html`${demonstrations(summary)}${pairs(summary)}${leakage(summary)}`;
}
