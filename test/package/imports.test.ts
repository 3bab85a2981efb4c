// The package as its users import it: by name, from ES modules and from CommonJS, with types, from a folder of
// their own.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

const root = resolve(__dirname, "../..");
const promised = ["Model", "dpo", "sample", "selfRefine", "sft"]; // what the README's first example imports
let consumer: string;

beforeAll(() => {
  consumer = mkdtempSync(join(tmpdir(), "selfrefine-consumer-"));
  mkdirSync(join(consumer, "node_modules"));
  symlinkSync(root, join(consumer, "node_modules", "selfrefine"));
});

afterAll(() => rmSync(consumer, { recursive: true, force: true }));

function run(file: string, source: string): string {
  writeFileSync(join(consumer, file), source);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: consumer, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

describe("import from the package", () => {
  test("works from an ES module, by name", () => {
    const source = `import { ${promised.join(", ")} } from "selfrefine";\n` +
      `console.log([${promised.join(", ")}].map((value) => typeof value).join());\n`;
    expect(run("named.mjs", source)).toBe("function,function,function,function,function\n");
  });

  test("works from CommonJS", () => {
    const source = `const { ${promised.join(", ")} } = require("selfrefine");\n` +
      `console.log([${promised.join(", ")}].map((value) => typeof value).join());\n`;
    expect(run("named.cjs", source)).toBe("function,function,function,function,function\n");
  });

  test("gives an ES module every name that CommonJS sees", () => {
    const names = (list: string): string => `console.log(JSON.stringify(Object.keys(${list}).sort()));\n`;
    const fromCommonJs = JSON.parse(run("all.cjs", names('require("selfrefine")'))) as string[];
    const fromEsm = JSON.parse(run("all.mjs", `import * as all from "selfrefine";\n${names("all")}`)) as string[];
    expect(fromCommonJs).toEqual(expect.arrayContaining(promised));
    expect(fromCommonJs.filter((name) => !fromEsm.includes(name))).toEqual([]);
  });

  test.each(["consumer.mts", "consumer.cts"])("carries its types into %s", (file) => {
    const uses = `import { ${promised.join(", ")} } from "selfrefine";\n` +
      `const all: readonly unknown[] = [${promised.join(", ")}];\nvoid all;\n`;
    const wrong = '// @ts-expect-error: an unknown name must not type-check\nimport { noSuchName } from "selfrefine";\nvoid noSuchName;\n';
    writeFileSync(join(consumer, file), uses + wrong);
    const tsc = require.resolve("typescript/bin/tsc");
    const flags = ["--noEmit", "--strict", "--module", "node16", "--target", "ES2022", "--lib", "ES2022,ESNext.Disposable"];
    const types = ["--types", "node", "--typeRoots", join(root, "node_modules", "@types")];
    const check = spawnSync(process.execPath, [tsc, ...flags, ...types, file], { cwd: consumer, encoding: "utf8" });
    expect(check.stdout).toBe("");
    expect(check.status).toBe(0);
  });

  test("hides what is not public", () => {
    expect(() => run("deep.cjs", 'require("selfrefine/dist/native.js");\n')).toThrow("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});
