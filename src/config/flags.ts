// Schemas of options as command-line flags: learning_rate becomes --learning-rate, with its bounds, default
// and help taken from the schema, so that flags, keys of a run file and the JavaScript interface cannot drift
// apart. It does NOT know verbs, nor check values beyond their form: parse.ts does.
import type { Options } from "yargs";
import type { z } from "zod";
import { fail } from "../errors";

type Schema = z.core.$ZodType;

interface Unwrapped {
  inner: Schema;
  /** undefined: the option has no default. */
  fallback: unknown;
}

/** The schema below its defaults and optionals. */
export function unwrap(schema: Schema): Unwrapped {
  let inner = schema;
  let fallback: unknown;
  for (;;) {
    const { def } = inner._zod as { def: { type: string; innerType?: Schema; defaultValue?: unknown } };
    if (def.innerType === undefined) return { inner, fallback };
    if ("defaultValue" in def && fallback === undefined) fallback = def.defaultValue;
    inner = def.innerType;
  }
}

export function flagName(option: string): string {
  return option.replaceAll("_", "-");
}

/** Name of an option's flag; of options that share a command line with others, one with a prefix. */
export type FlagOf = (option: string) => string;

function shownDefault(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3
    ? value.toExponential()
    : String(value);
}

function form(inner: Schema): Options {
  const def = inner._zod.def as { type: string; entries?: Record<string, string> };
  switch (def.type) {
    case "boolean":
      return { type: "boolean" };
    case "enum":
      return { type: "string", choices: Object.values(def.entries ?? {}), requiresArg: true };
    case "array":
      return { type: "string", array: true, requiresArg: true };
    default:
      return { type: def.type === "number" ? "number" : "string", requiresArg: true };
  }
}

/** Flags of every option of a schema. Defaults are shown but not set, so that what was given can be told. */
export function flagsOf(schema: z.ZodObject, group: string, flagOf: FlagOf = flagName): Record<string, Options> {
  const entries = Object.entries(schema.shape).map(([option, field]): [string, Options] => {
    const { inner, fallback } = unwrap(field);
    const defaultDescription = shownDefault(fallback);
    const describe = (field as { description?: string }).description;
    return [
      flagOf(option),
      {
        ...form(inner),
        group,
        ...(describe === undefined ? {} : { describe }),
        ...(defaultDescription === undefined ? {} : { defaultDescription }),
      },
    ];
  });
  return Object.fromEntries(entries);
}

function scalar(flag: string, value: unknown, type: string): unknown {
  if (Array.isArray(value))
    fail("ERR_CONFIG", `--${flag} is given ${value.length} times; once is wanted`, { option: flag });
  if (type !== "number") return value;
  const text = String(value).trim();
  const number = Number(text);
  if (text === "" || !Number.isFinite(number)) {
    fail("ERR_CONFIG", `--${flag} is ${JSON.stringify(value)}, wanted a number`, { option: flag });
  }
  return number;
}

function listOf(flag: string, value: unknown, element: Schema | undefined): unknown[] {
  const type = element === undefined ? "string" : (unwrap(element).inner._zod.def as { type: string }).type;
  return (Array.isArray(value) ? value : [value]).map((item) => scalar(flag, item, type));
}

/**
 * The options of a schema that were given as flags, by their own names. @throws ERR_CONFIG naming the flag
 */
export function givenOptions(
  schema: z.ZodObject,
  argv: Readonly<Record<string, unknown>>,
  flagOf: FlagOf = flagName,
): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [option, field] of Object.entries(schema.shape)) {
    const flag = flagOf(option);
    const value = argv[flag];
    if (value === undefined) continue;
    const def = unwrap(field).inner._zod.def as { type: string; element?: Schema };
    given[option] = def.type === "array" ? listOf(flag, value, def.element) : scalar(flag, value, def.type);
  }
  return given;
}
