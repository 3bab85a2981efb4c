// What is wrong with a nested configuration, in words: each issue with its key path, the nearest known name,
// and where it stands. It does NOT know files: a caller turns a path into a place.
import type { z } from "zod";
import { unwrap } from "./flags";
import { nearestName } from "./parse";

export type KeyPath = readonly PropertyKey[];

export interface Issue {
  path: KeyPath;
  /** Complete but for the place it stands at. */
  text: string;
}

export const showPath = (path: KeyPath): string =>
  path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index > 0 ? "." : ""}${String(key)}`))
    .join("");

/** The known names at a path of a schema, across defaults, optionals and arrays. */
export function knownNames(schema: z.core.$ZodType, path: KeyPath): string[] {
  const def = unwrap(schema).inner._zod.def as {
    type: string;
    shape?: Record<string, z.core.$ZodType>;
    element?: z.core.$ZodType;
  };
  const [key, ...rest] = path;
  if (key === undefined) return Object.keys(def.shape ?? {});
  const next = typeof key === "number" ? def.element : def.shape?.[String(key)];
  return next === undefined ? [] : knownNames(next, rest);
}

/** Zod's issues, an unknown name as an issue of its own with the nearest known one. */
export function explain(schema: z.core.$ZodType, issues: readonly z.core.$ZodIssue[]): Issue[] {
  return issues.flatMap((issue): Issue[] => {
    if (issue.code !== "unrecognized_keys") {
      return [{ path: issue.path, text: `${showPath(issue.path) || "the file"}: ${issue.message}` }];
    }
    const known = knownNames(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearestName(key, known);
      const remedy = near === undefined ? `known are ${known.join(", ")}` : `did you mean ${near}?`;
      const path = [...issue.path, key];
      return { path, text: `${showPath(path)}: no such option; ${remedy}` };
    });
  });
}
