// What is wrong with a configuration, flat or nested, in words: each issue with its key path and the nearest known
// name, names marked as names.ts says. It does NOT know files or flags: a caller turns a path into a place.
import type { z } from "zod";
import { unwrap } from "./flags";
import { hint, mark, noChoice, spell } from "./names";

type Schema = z.core.$ZodType;
export type KeyPath = readonly PropertyKey[];

export interface Issue {
  path: KeyPath;
  /** Complete but for the place it stands at. */
  text: string;
}

/** An option that matters only in some combinations of the others. */
export interface EffectRule<T> {
  option: keyof T & string;
  hasEffect: (options: T) => boolean;
  /** Completes "… has no effect"; other options of the section are marked. */
  because: string;
  /** What to do instead of leaving it out. */
  instead?: string;
}

export const showPath = (path: KeyPath): string =>
  path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index > 0 ? "." : ""}${String(key)}`))
    .join("");

const shape = (schema: Schema): Record<string, Schema> =>
  (unwrap(schema).inner._zod.def as { shape?: Record<string, Schema> }).shape ?? {};

/** The known names at a path of a schema, across defaults, optionals and arrays. */
export function knownNames(schema: Schema, path: KeyPath): string[] {
  const [key, ...rest] = path;
  if (key === undefined) return Object.keys(shape(schema));
  const { element } = unwrap(schema).inner._zod.def as { element?: Schema };
  const next = typeof key === "number" ? element : shape(schema)[String(key)];
  return next === undefined ? [] : knownNames(next, rest);
}

/** Every place in the sections of a schema where an option of this name stands. */
function placesOf(schema: Schema, name: string, path: readonly string[] = []): string[] {
  return Object.entries(shape(schema)).flatMap(([key, field]) => {
    const here = [...path, key];
    return [...(key === name && path.length > 0 ? [here.join(".")] : []), ...placesOf(field, name, here)];
  });
}

const either = (names: readonly string[]): string | undefined =>
  (names.length === 0 ? undefined : names.map(mark).join(" or "));

/** Marked names of options as whole paths: those of this section, or of all that have such an option. */
function resolve(text: string, schema: Schema, section: KeyPath, prefix: KeyPath): string {
  const known = knownNames(schema, section);
  return spell(text, (name) =>
    (known.includes(name) ? mark(showPath([...prefix, ...section, name])) : either(placesOf(schema, name))));
}

/** What an unknown key may have meant: a name of its section, or the same name in another section. */
function meant(schema: Schema, section: KeyPath, key: string, prefix: KeyPath): string {
  const known = knownNames(schema, section);
  const near = hint(key, known);
  if (near !== "") return resolve(near, schema, section, prefix);
  const elsewhere = either(placesOf(schema, key));
  if (elsewhere !== undefined) return `; did you mean ${elsewhere}?`;
  return `; known are ${known.join(", ")}`;
}

function valueAt(value: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((here, key) => (here as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

/**
 * Zod's issues with `given`; an unknown name is an issue of its own.
 * @param prefix where what was given stands, in front of every name
 */
export function explain(
  schema: Schema, issues: readonly z.core.$ZodIssue[], given: unknown, prefix: KeyPath = [],
): Issue[] {
  return issues.flatMap((issue): Issue[] => {
    const path = [...prefix, ...issue.path];
    const name = path.length > 0 ? mark(showPath(path)) : "options";
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        text: `${mark(showPath([...path, key]))}: no such option${meant(schema, issue.path, key, prefix)}`,
      }));
    }
    const got = valueAt(given, issue.path);
    if (issue.code === "invalid_value" && typeof got === "string") {
      const keys = issue.path.slice(0, issue.path.findIndex((key) => typeof key === "number") >>> 0);
      const text = noChoice(String(keys.at(-1)), got, issue.values.map(String), name);
      return [{ path, text: resolve(text, schema, keys.slice(0, -1), prefix) }];
    }
    return [{ path, text: `${name}: ${issue.message}` }];
  });
}

/** What to say of an option that was given and would be ignored; `section` is where it stands. */
export function idle({ option, because, instead = "leave it out" }: Omit<EffectRule<never>, "hasEffect">,
  section: KeyPath): Issue {
  const full = (name: string) => mark(showPath([...section, name]));
  return {
    path: [...section, option],
    text: `${full(option)} has no effect ${spell(because, full)}; ${spell(instead, full)}`,
  };
}
