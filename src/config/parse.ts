// Checking what a user gave against a schema of options.ts: unknown names with the nearest known one, wrong values with
// what was wanted, and options that would have no effect in the chosen combination. It does NOT read files or flags.
import type { z } from "zod";
import { fail } from "../errors";
import { type EffectRule, explain, idle } from "./issues";

export type { EffectRule } from "./issues";

/**
 * Options with defaults filled in.
 * @param where what is being parsed, for messages: "sft"
 * @throws ERR_CONFIG naming every option that is unknown, out of bounds or without effect
 */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  given: unknown,
  where: string,
  rules: readonly EffectRule<z.infer<S>>[] = [],
): z.infer<S> {
  const result = schema.safeParse(given ?? {});
  const set = new Set(Object.keys((given ?? {}) as object));
  const issues = result.success
    ? rules.filter((rule) => set.has(rule.option) && !rule.hasEffect(result.data)).map((rule) => idle(rule, [where]))
    : explain(schema, result.error.issues, given, [where]);
  if (issues.length > 0) {
    const options = issues.map(({ path }) => path.slice(1).join("."));
    fail("ERR_CONFIG", issues.map(({ text }) => text).join("; "), { where, options });
  }
  return result.data as z.infer<S>;
}
