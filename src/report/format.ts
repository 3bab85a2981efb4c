// Numbers and times as people read them: one place for every rounding of the terminal and of the HTML report.
// It does NOT know what is measured.

/** 7 s, 3 min 20 s, 2 h 05 min. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** 987, 12.3k, 4.56M: three digits. */
export function compact(value: number): string {
  const size = Math.abs(value);
  for (const [unit, letter] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (size >= unit) return `${(value / unit).toPrecision(3)}${letter}`;
  }
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3);
}

/** Up to `digits` significant digits, no trailing zeros, a true minus sign. */
export function number(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return "n/a";
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** A share in [0, 1] as 12.3 %. */
export function percent(share: number | null | undefined, digits = 1): string {
  return share === null || share === undefined || !Number.isFinite(share)
    ? "n/a"
    : `${(100 * share).toFixed(digits)} %`;
}

/** A difference of shares in points with its sign. */
export function points(share: number | null | undefined, digits = 1): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "n/a";
  const text = Math.abs(100 * share).toFixed(digits);
  return Number(text) === 0 ? text : `${share < 0 ? "−" : "+"}${text}`;
}

export function pValue(p: number | null | undefined): string {
  if (p === null || p === undefined || !Number.isFinite(p)) return "n/a";
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

/** "1 pair", "2 pairs". */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}
