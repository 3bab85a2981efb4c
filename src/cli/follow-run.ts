// A run's events as they come: progress on the terminal, JSON lines with --json. It does NOT run anything.
import { number } from "../report/format";
import { duration } from "../report/format";
import type { RunEvent, StepEvent } from "../run/events";
import type { RunSummary } from "../run/summary";
import type { Context } from "./context";

/** Short facts of an optimizer step. */
export function stepDetail({ step }: Pick<StepEvent, "step">): string {
  const facts = [`loss ${number(step.loss, 3)}`];
  if ("rewards/margins" in step) {
    facts.push(
      `margin ${number(step["rewards/margins"], 3)}`,
      `accuracy ${number(step["rewards/accuracies"], 2)}`,
    );
  } else {
    facts.push(`token accuracy ${number(step.mean_token_accuracy, 2)}`);
  }
  return facts.join(", ");
}

function show(event: RunEvent, { terminal }: Context): void {
  switch (event.type) {
    case "stage_begin":
      return;
    case "stage_end":
      terminal.finish();
      return terminal.note(
        `${event.cached ? "·" : "✓"} ${event.stage.padEnd(48)} ${event.cached ? "done before" : duration(event.seconds)}`,
      );
    case "progress":
      return terminal.progress({ ...event, label: event.stage });
    case "train_step":
      return terminal.progress({
        label: event.stage,
        finished: event.step.step,
        total: event.step.total_steps,
        unit: "steps",
        detail: stepDetail(event),
      });
    case "note":
      return terminal.note(`  ${event.stage}: ${event.message}`);
    case "warning":
      return terminal.warn(`${event.stage}: ${event.message}`);
    case "finished":
      return;
  }
}

/** The whole summary is in a file; a line on stdout says where, and the numbers of the table. */
function forJson(event: RunEvent): unknown {
  if (event.type !== "finished") return event;
  const { summary, ...rest } = event;
  return {
    ...rest,
    name: summary.name,
    seed: summary.seed,
    seconds: summary.seconds,
    matrix: summary.matrix,
  };
}

/** Shows a run to its end. @returns its summary and where the report is */
export async function followRun(
  events: AsyncGenerator<RunEvent, RunSummary>,
  context: Context,
): Promise<{ summary: RunSummary; report: string }> {
  let report = "";
  for (;;) {
    const next = await events.next();
    if (next.done) return { summary: next.value, report };
    show(next.value, context);
    context.emit(forJson(next.value));
    if (next.value.type === "finished") report = next.value.report;
  }
}
