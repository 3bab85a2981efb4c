// Checking what a user gave against a schema of options.ts: unknown names with the nearest known one, wrong values with
// what was wanted, and options that would have no effect in the chosen combination. It does NOT read files or flags.
import type { z } from "zod";
import { fail } from "../errors";

/** An option that matters only in some combinations of the others. */
export interface EffectRule<T> {
  option: keyof T & string;
  hasEffect: (options: T) => boolean;
  /** Completes "… has no effect". */
  because: string;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** The known name nearest to a mistyped one, if any is near. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((option) => ({ option, distance: editDistance(name, option) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(2, name.length / 3) ? best.option : undefined;
}

function describeIssue(issue: z.core.$ZodIssue, known: readonly string[]): string {
  if (issue.code !== "unrecognized_keys") return `${issue.path.join(".") || "options"}: ${issue.message}`;
  return issue.keys.map((key) => {
    const near = nearestName(key, known);
    return `${[...issue.path, key].join(".")}: no such option${near ? `; did you mean ${near}?` : ""}`;
  }).join("; ");
}

/**
 * Options with defaults filled in.
 * @param where what is being parsed, for messages: "sft", "configs/svamp.yaml: dpo"
 * @throws ERR_CONFIG naming every option that is unknown, out of bounds or without effect
 */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  given: unknown,
  where: string,
  rules: readonly EffectRule<z.infer<S>>[] = [],
): z.infer<S> {
  const result = schema.safeParse(given ?? {});
  if (!result.success) {
    const known = Object.keys(schema.shape);
    const text = result.error.issues.map((issue) => describeIssue(issue, known)).join("; ");
    fail("ERR_CONFIG", `${where}: ${text}`, { where });
  }
  const options: z.infer<S> = result.data;
  const set = new Set(Object.keys((given ?? {}) as object));
  const idle = rules.filter((rule) => set.has(rule.option) && !rule.hasEffect(options));
  if (idle.length > 0) {
    const text = idle.map((rule) => `${rule.option} has no effect ${rule.because}; leave it out`).join("; ");
    fail("ERR_CONFIG", `${where}: ${text}`, { where, options: idle.map((rule) => rule.option) });
  }
  return options;
}
