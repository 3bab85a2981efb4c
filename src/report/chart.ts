// Plots as inline SVG: lines over steps, and dots with intervals. Colours are classes of the page's style, so
// that a plot follows the page into dark mode and onto paper. It does NOT know what is plotted.
import { number } from "./format";
import { html, type Html } from "./markup";

export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
  title: string;
  yLabel: string;
  series: readonly Series[];
  /** A level worth a line of its own: 0 for rewards, ln 2 for the loss. */
  level?: { y: number; label: string };
}

const WIDTH = 420;
const HEIGHT = 230;
const MARGIN = { left: 52, right: 14, top: 10, bottom: 34 };
const MAX_POINTS = 240;

/** Round steps that cut a range into about `count` parts. */
export function ticks(low: number, high: number, count = 5): number[] {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) as number;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** Means of neighbouring points, so that a long log stays a small file. */
export function thin(points: Series["points"], most = MAX_POINTS): Series["points"] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, index) => {
    const group = points.slice(index * size, (index + 1) * size);
    const mean = (axis: 0 | 1) => group.reduce((sum, point) => sum + point[axis], 0) / group.length;
    return [mean(0), mean(1)] as const;
  });
}

interface Scale {
  (value: number): number;
}

function scale(low: number, high: number, from: number, to: number): Scale {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

const fixed = (value: number): string => value.toFixed(1);

function range(values: readonly number[]): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.5;
  return [low - pad, high + pad];
}

function axes(x: Scale, y: Scale, xTicks: readonly number[], yTicks: readonly number[]): Html {
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  const bottom = HEIGHT - MARGIN.bottom;
  return html`${yTicks.map(
    (
      value,
    ) => html`<line class="grid" x1="${left}" x2="${right}" y1="${fixed(y(value))}" y2="${fixed(y(value))}"/>
<text class="tick" x="${left - 6}" y="${fixed(y(value) + 3.5)}" text-anchor="end">${number(value)}</text>`,
  )}
${xTicks.map((value) => html`<text class="tick" x="${fixed(x(value))}" y="${bottom + 15}" text-anchor="middle">${number(value)}</text>`)}
<line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`;
}

/** @param first colour of the first name */
function legend(names: readonly string[], first: number): Html | undefined {
  if (names.length < 2) return undefined;
  return html`<p class="legend">${names.map((name, index) => html`<span class="key c${(index + first) % 6}">${name}</span>`)}</p>`;
}

/** Lines over optimizer steps. */
export function lineChart({ title, yLabel, series, level }: LineChart): Html {
  const drawn = series.map(({ name, points }) => ({
    name,
    points: thin(points.filter(([, value]) => Number.isFinite(value))),
  }));
  const all = drawn.flatMap(({ points }) => points);
  const xs = all.map(([value]) => value);
  const [xLow, xHigh] = xs.length > 0 ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
  const [yLow, yHigh] = range([...all.map(([, value]) => value), ...(level ? [level.y] : [])]);
  const x = scale(xLow, xHigh, MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(yLow, yHigh, HEIGHT - MARGIN.bottom, MARGIN.top);
  const lines = drawn.map(({ points }, index) => {
    const path = points
      .map(([px, py], at) => `${at === 0 ? "M" : "L"}${fixed(x(px))} ${fixed(y(py))}`)
      .join("");
    return html`<path class="line c${(index + 1) % 6}" d="${path}"/>`;
  });
  const mark =
    level &&
    html`<line class="level" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${fixed(y(level.y))}" y2="${fixed(y(level.y))}"/>
<text class="tick" x="${WIDTH - MARGIN.right}" y="${fixed(y(level.y) - 4)}" text-anchor="end">${level.label}</text>`;
  return html`<figure><figcaption>${title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}: ${yLabel} over optimizer steps">
${axes(x, y, ticks(xLow, xHigh), ticks(yLow, yHigh))}${mark}${lines}
<text class="label" x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 4}" text-anchor="middle">optimizer step</text>
<text class="label" transform="translate(11 ${(HEIGHT - MARGIN.bottom + MARGIN.top) / 2}) rotate(-90)" text-anchor="middle">${yLabel}</text>
</svg>${legend(
    series.map(({ name }) => name),
    1,
  )}</figure>`;
}

export interface IntervalRow {
  /** What the group is about: a task. */
  group: string;
  /** One dot a model; models have the colours of their order. */
  dots: readonly { name: string; value: number; low: number; high: number }[];
}

const ROW = 15;
const GROUP_GAP = 16;
const NAME_WIDTH = 200;
const DOT_WIDTH = 860;

/** Shares with their intervals, grouped; the axis begins at 0. */
export function intervalChart(title: string, rows: readonly IntervalRow[]): Html {
  const heights = rows.map(({ dots }) => dots.length * ROW + GROUP_GAP);
  const tops = heights.map((_, index) => heights.slice(0, index).reduce((sum, height) => sum + height, 8));
  const height = heights.reduce((sum, one) => sum + one, 8) + 24;
  const highest = Math.max(0.1, ...rows.flatMap(({ dots }) => dots.map(({ high }) => high)));
  const end = Math.min(1, Math.ceil(highest * 10) / 10);
  const x = scale(0, end, NAME_WIDTH, DOT_WIDTH - 24);
  const names = rows[0]?.dots.map(({ name }) => name) ?? [];
  const grid = ticks(0, end).map(
    (
      share,
    ) => html`<line class="grid" x1="${fixed(x(share))}" x2="${fixed(x(share))}" y1="4" y2="${height - 20}"/>
<text class="tick" x="${fixed(x(share))}" y="${height - 5}" text-anchor="middle">${Math.round(100 * share)} %</text>`,
  );
  const groups = rows.map(({ group, dots }, index) => {
    const top = tops[index] as number;
    const middle = top + (dots.length * ROW) / 2;
    return html`<text class="name" x="${NAME_WIDTH - 14}" y="${fixed(middle + 4)}" text-anchor="end">${group}</text>
${dots.map(({ name, value, low, high }, at) => {
  const y = fixed(top + at * ROW + ROW / 2);
  return html`<g class="c${at % 6}"><title>${name}: ${(100 * value).toFixed(1)} % (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})</title>
<line class="interval" x1="${fixed(x(low))}" x2="${fixed(x(high))}" y1="${y}" y2="${y}"/><circle class="dot" cx="${fixed(x(value))}" cy="${y}" r="4"/></g>`;
})}`;
  });
  return html`<figure class="wide"><figcaption>${title}</figcaption>
<svg viewBox="0 0 ${DOT_WIDTH} ${height}" role="img" aria-label="${title}">${grid}${groups}</svg>${legend(names, 0)}</figure>`;
}
