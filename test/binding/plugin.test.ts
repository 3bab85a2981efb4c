// The CUDA half is a library beside the addon. One that another build left there is refused, not called: C++ objects
// cross between the two.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";

const addon = process.env["SELFREFINE_ADDON"] ?? resolve(__dirname, "../../build/Release/selfrefine.node");
const folder = mkdtempSync(join(tmpdir(), "selfrefine-plugin-"));

beforeAll(() => copyFileSync(addon, join(folder, "selfrefine.node")));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the addon says of its choice of a device with the library for cuda that this source makes beside it. */
function descriptionWith(source: string): string {
  const file = join(folder, "plugin.c");
  writeFileSync(file, source);
  const compiled = spawnSync("cc", ["-shared", "-fPIC", "-o", join(folder, "libselfrefine_cuda.so"), file]);
  expect(compiled.status).toBe(0);
  const script = 'console.log(JSON.stringify(require("./selfrefine.node").autoDevice()))';
  const child = spawnSync(process.execPath, ["-e", script], { cwd: folder, encoding: "utf8" });
  expect(child.stderr).toBe("");
  const { name, description } = JSON.parse(child.stdout) as { name: string; description: string };
  expect(name).toBe("cpu");
  return description;
}

test("a library of another build is refused", () => {
  const abort = "void* selfrefine_plugin_make(void) { __builtin_trap(); }";
  const build = 'const char* selfrefine_plugin_build(void) { return "another"; }';
  expect(descriptionWith(`${build} ${abort}`)).toMatch(/libselfrefine_cuda\.so belongs to another build/);
});

test("a library that does not say its build is refused", () => {
  expect(descriptionWith("int nothing;")).toMatch(/belongs to another build/);
});
