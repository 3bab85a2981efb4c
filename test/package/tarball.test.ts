// What `npm publish` would ship: all that a user's machine needs to build and run, and nothing else.
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";

const root = resolve(__dirname, "../..");
let packed: string[];

beforeAll(() => {
  const pack = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" });
  if (pack.status !== 0) throw new Error(pack.stderr);
  const [tarball] = JSON.parse(pack.stdout) as [{ files: { path: string }[] }];
  packed = tarball.files.map((file) => file.path);
});

function files(folder: string, name: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => name.test(path))
    .map((path) => `${folder}/${path}`);
}

describe("the packed tarball", () => {
  test("holds every native source, the build script and the licence", () => {
    const wanted = [
      ...files("native", /\.(cpp|h|cu|cuh)$/),
      ...files("cmake", /\.cmake$/),
      ...files("binding", /\.(cpp|h)$/),
      "CMakeLists.txt",
      "LICENSE",
      "README.md",
      "package.json",
      "scripts/build-native.mjs",
    ];
    expect(wanted.filter((path) => !packed.includes(path))).toEqual([]);
  });

  test("holds the compiled form and the types of every module", () => {
    const modules = files("src", /\.ts$/).map((path) => path.replace(/^src\//, "dist/").replace(/\.ts$/, ""));
    const wanted = modules.flatMap((path) => [`${path}.js`, `${path}.d.ts`]);
    expect(wanted.filter((path) => !packed.includes(path))).toEqual([]);
  });

  test("holds nothing else", () => {
    const known = /^(dist\/.+\.(js|d\.ts)|(native|binding)\/.+\.(cpp|h|cu|cuh)|cmake\/.+\.cmake)$/;
    const single = ["CMakeLists.txt", "LICENSE", "README.md", "package.json", "scripts/build-native.mjs"];
    expect(packed.filter((path) => !known.test(path) && !single.includes(path))).toEqual([]);
  });

  test("the command starts with the line that makes it one", () => {
    expect(readFileSync(join(root, "dist", "cli.js"), "utf8").split("\n")[0]).toBe("#!/usr/bin/env node");
  });
});

test("npx in a checkout, which prepares it again, leaves what another process is running", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };
  expect([scripts["install"], scripts["prepare"]].join()).not.toMatch(/clean|rmSync/);
});

describe("the lockfile", () => {
  test("names no host, so that `npm ci` works against any registry", () => {
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
      packages: Record<string, { resolved?: string }>;
    };
    expect(Object.values(lock.packages).filter((entry) => entry.resolved !== undefined)).toEqual([]);
  });
});
