// Progress as it happens: a bar with rate and time left on a terminal, plain lines elsewhere; and tables.
// It does NOT know what makes progress, nor where results go: it is given a stream to write on.
import { compact, duration } from "./format";

/** Redraws of a bar a second, and seconds between plain lines. */
const REDRAW_MS = 100;
const PLAIN_LINE_MS = 15_000;
const BAR_CELLS = 24;
/** The bar of a terminal too narrow for both it and the facts. */
const NARROW_BAR_CELLS = 8;
const NARROW_COLUMNS = 100;

/** What a terminal writes on; process.stderr is one. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ProgressState {
  label: string;
  finished: number;
  total: number;
  /** What is counted, in the plural: "steps", "samples". */
  unit: string;
  /** Short facts shown behind the bar: "loss 1.23". */
  detail?: string;
}

export function bar(share: number, cells = BAR_CELLS): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * cells * 8);
  const partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8] as string;
  return ("█".repeat(Math.floor(eighths / 8)) + partial).padEnd(cells, "░");
}

const LABEL_CELLS = 20;

/** A label in its cells; of a longer one the end is the telling part. */
function fit(label: string): string {
  return label.length > LABEL_CELLS ? `…${label.slice(1 - LABEL_CELLS)}` : label.padEnd(LABEL_CELLS);
}

/** Rate since the work was (re)started, so that a resumed stage does not boast with what was done before. */
class Pace {
  private readonly started = Date.now();

  constructor(private readonly from: number) {}

  describe({ finished, total, unit }: ProgressState): string {
    const seconds = (Date.now() - this.started) / 1000;
    const done = finished - this.from;
    if (done <= 0 || seconds < 0.05) return "";
    const rate = done / seconds;
    const left = finished < total ? `, ${duration((total - finished) / rate)} left` : "";
    return `${compact(rate)} ${unit}/s${left}`;
  }
}

export interface TerminalOptions {
  /** Nothing but warnings is written. */
  quiet?: boolean;
}

/** One line of progress at a time, and notes above it. */
export class Terminal {
  private pace: Pace | undefined;
  private current: ProgressState | undefined;
  private lastShown = 0;
  private barIsDrawn = false;

  constructor(
    private readonly stream: TextStream,
    private readonly options: TerminalOptions = {},
  ) {}

  private get live(): boolean {
    return this.stream.isTTY === true && !this.options.quiet;
  }

  /** A line that stays. */
  note(text: string): void {
    if (this.options.quiet) return;
    this.erase();
    this.stream.write(`${text}\n`);
    if (this.live && this.current !== undefined) this.draw();
  }

  /** A line that stays, also when quiet. */
  warn(text: string): void {
    this.erase();
    this.stream.write(`warning: ${text}\n`);
  }

  progress(state: ProgressState): void {
    if (this.options.quiet) return;
    if (this.current?.label !== state.label) {
      this.pace = new Pace(state.finished);
      this.lastShown = this.live ? 0 : Date.now();
    }
    this.current = state;
    const wait = this.live ? REDRAW_MS : PLAIN_LINE_MS;
    if (Date.now() - this.lastShown < wait) return;
    this.lastShown = Date.now();
    this.draw();
  }

  /** Ends the line of progress; what is written next is below it. */
  finish(): void {
    this.erase();
    this.current = undefined;
    this.pace = undefined;
  }

  private draw(): void {
    const state = this.current;
    if (state === undefined) return;
    const { label, finished, total, unit, detail } = state;
    const facts = [`${finished}/${total} ${unit}`, this.pace?.describe(state), detail]
      .filter(Boolean)
      .join("  ");
    if (!this.live) {
      this.stream.write(`  ${label}: ${facts}\n`);
      return;
    }
    const columns = this.stream.columns ?? NARROW_COLUMNS;
    const cells = columns < NARROW_COLUMNS ? NARROW_BAR_CELLS : BAR_CELLS;
    const line = `  ${fit(label)} ${bar(total > 0 ? finished / total : 0, cells)} ${facts}`;
    this.stream.write(`\r\x1b[2K${line.slice(0, columns - 1)}`);
    this.barIsDrawn = true;
  }

  private erase(): void {
    if (this.barIsDrawn) this.stream.write("\r\x1b[2K");
    this.barIsDrawn = false;
  }
}

/** Characters a text takes on a terminal, near enough for Latin text and the signs used here. */
const width = (text: string): number => [...text].length;

/** Columns aligned, the first to the left and the others to the right, a rule under the head. */
export function textTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  indent = "  ",
): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => width(row[column] ?? ""))));
  const line = (row: readonly string[]) =>
    indent +
    widths
      .map((most, column) => {
        const text = row[column] ?? "";
        const space = " ".repeat(most - width(text));
        return column === 0 ? text + space : space + text;
      })
      .join("  ")
      .trimEnd();
  const rule = indent + "─".repeat(widths.reduce((sum, most) => sum + most + 2, -2));
  return [line(head), rule, ...rows.map(line)].join("\n");
}
