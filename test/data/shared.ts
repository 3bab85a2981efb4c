// Real data sets beside the checkout: tests that need one skip by name where it is absent.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "@jest/globals";

const root = process.env.SELFREFINE_SHARED ?? resolve(__dirname, "../../../shared");

export function sharedPath(...names: string[]): string {
  return join(root, "data", ...names);
}

/** `test`, or a skip whose name says which file is missing. */
export function testWith(name: string, paths: readonly string[], run: () => void | Promise<void>): void {
  const missing = paths.find((path) => !existsSync(path));
  if (missing === undefined) test(name, run);
  else test.skip(`${name} (no ${missing})`, run);
}
