// The architecture as tests: reads the #include and import lines of the tree and fails on an arrow that points the
// wrong way, naming file, line and rule. Every rule carries an example it must catch, so that none can rot unseen.
// It knows nothing of what the code does.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, posix, relative, resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";

const root = resolve(__dirname, "..");
const places = ["src", "native", "binding", "test", "bench", "scripts", "configs", ".ci", "README.md", "CMakeLists.txt"];
const legend = "native/ops.h"; // begins with the one table of dimension letters
const cxxName = /\.(cpp|h|cu|cuh)$/;
const codeName = /\.(cpp|h|cu|cuh|ts|mjs|cjs|py)$/;
const textName = /\.(cpp|h|cu|cuh|ts|mjs|cjs|py|sh|md|yaml|yml|json|txt)$|\/run$/;

interface Rule {
  name: string;
  /** Which files the rule is about, by path from the root. */
  files: RegExp;
  /** Whether this line of this file breaks the rule. */
  offends(line: string, path: string): boolean;
  /** A line that must be caught, and where it stands. */
  example: [path: string, line: string];
}

/** The repository path a C++ include or TypeScript import means; a system header keeps its angle brackets. */
function target(line: string, path: string): string | undefined {
  if (cxxName.test(path)) {
    const include = /^\s*#\s*include\s*(<[^>]+>|"[^"]+")/.exec(line)?.[1];
    if (!include || include.startsWith("<")) return include;
    const name = include.slice(1, -1);
    const beside = posix.normalize(posix.join(dirname(path), name));
    if (name.startsWith(".")) return beside;
    return [beside, `binding/${name}`].find((candidate) => existsSync(join(root, candidate))) ?? `native/${name}`;
  }
  const from = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\(\s*)["'](\.[^"']*)["']/.exec(line)?.[1];
  return from && posix.normalize(posix.join(dirname(path), from));
}

interface Ends {
  allowed?: RegExp;
  forbidden?: RegExp;
}

/** A rule about where the arrows of some files may end: `allowed` (when given) must match, `forbidden` must not. */
function arrows(name: string, files: RegExp, ends: Ends, example: [string, string]): Rule {
  const offends = (line: string, path: string): boolean => {
    const end = target(line, path);
    if (end === undefined || /^\s*import type\b/.test(line)) return false;
    return Boolean(ends.forbidden?.test(end) || (ends.allowed && !ends.allowed.test(end)));
  };
  return { name, files, offends, example };
}

/** A rule about words: no line of these files may match. */
function words(name: string, files: RegExp, pattern: RegExp, example: [string, string]): Rule {
  return { name, files, offends: (line) => pattern.test(line), example };
}

const system = "<[a-z0-9_/.]+>";
const rules: Rule[] = [
  arrows("Node-API is included by binding/napi_setup.h alone", /^(native|binding)\/(?!napi_setup\.h)/,
    { forbidden: /^<(napi|node_api|js_native_api|node|v8|uv)\.h>$/ },
    ["native/engine/model.cpp", "#include <napi.h>"]),
  arrows("binding/ sees the engine, never what is behind it", /^binding\/(?!ops[._])/,
    { allowed: new RegExp(`^(${system}|binding/.*|native/engine/.*|native/core/(error|dtype)\\.h)$`) },
    ["binding/trainer.cpp", '#include "model/transformer.h"']),
  arrows("binding/ops sees the ops and the backends, not the model", /^binding\/ops/,
    { forbidden: /^native\/(model|engine)\// },
    ["binding/ops.cpp", '#include "model/transformer.h"']),
  arrows("native/ knows neither Node nor the binding, test or bench", /^native\//,
    { forbidden: /^(binding|test|bench|src)\/|^<(napi|nlohmann|simdjson)/ },
    ["native/engine/model.cpp", '#include "../../binding/convert.h"']),
  arrows("native/core stands alone", /^native\/core\//,
    { forbidden: /^native\/(?!core\/)/ },
    ["native/core/tensor.h", '#include "backend.h"']),
  arrows("kernels and backends know no model", /^native\/(kernels|cpu|cuda|[a-z_]+\.(h|cpp)$)/,
    { forbidden: /^native\/(model|engine)\// },
    ["native/kernels/rope/cpu.cpp", '#include "model/config.h"']),
  arrows("the model knows no engine", /^native\/model\//,
    { forbidden: /^native\/engine\// },
    ["native/model/transformer.cpp", '#include "engine/sampler.h"']),
  arrows("CUDA headers stay in cuda.cu and native/cuda", /^(native|binding)\/(?!cuda\/|kernels\/[a-z_]+\/cuda\.cu$)/,
    { forbidden: /^<(cuda|cublas|nccl|cudnn|cooperative_groups)/ },
    ["native/model/transformer.cpp", "#include <cuda_runtime.h>"]),
  words("native code neither prints nor ends the process", /^(native|binding)\//,
    /^(?!\s*(\/\/|\*)).*(\bf?printf\s*\(|\bstd::c(out|err)\b|\bassert\s*\(|\b(std::)?(abort|_exit|exit|quick_exit|terminate)\s*\()/,
    ["native/model/transformer.cpp", "  if (bad) std::abort();"]),
  words("the addon's file is named by src/native.ts alone", /^src\/(?!native\.ts$)/,
    /\.node["'`]/,
    ["src/train/sft.ts", 'require("../build/Release/selfrefine.node")']),
  arrows("src/ knows neither test nor bench", /^src\//,
    { forbidden: /^(test|bench|scripts|dist)\// },
    ["src/train/sft.ts", 'import { x } from "../../test/support";']),
  arrows("only the command line knows the command line", /^src\/(?!cli\.ts$|cli\/)/,
    { forbidden: /^src\/cli(\/|$)/ },
    ["src/run/stages.ts", 'import { table } from "../cli/table";']),
  arrows("formats, text, tasks and data know nothing of runs", /^src\/(data|text|tasks|checkpoint|teacher|config)\//,
    { forbidden: /^src\/(cli|run|report)(\/|$)/ },
    ["src/data/jsonl.ts", 'import { stage } from "../run/stage";']),
  arrows("the addon is behind the modules that wrap it", /^src\/(cli|run|config|data|text|tasks|report|teacher)\//,
    { forbidden: /^src\/native$/ },
    ["src/cli/sft.ts", 'import { native } from "../native";']),
  words("no path of somebody's machine", /./,
    new RegExp(`(^|[\\s"'\`(=:])/(work|root|home/[a-z]+|Users/[A-Za-z]+)/`),
    ["src/run/stages.ts", ["const cache = ", '"/wo', 'rk/cache";'].join("")]),
  words("no default exports", /^(src|test|bench)\/.*\.ts$/,
    /^export default\b/,
    ["src/index.ts", "export default class Model {}"]),
  words("lines of code fit in 120 columns", /^(native|binding)\/.*\.(cpp|h|cu|cuh)$/,
    /^.{121}/,
    ["native/core/tensor.h", "/".repeat(121)]),
];

function walk(path: string): string[] {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  if (statSync(full).isFile()) return [path];
  const names = readdirSync(full).filter((name) => name !== "node_modules" && name !== "__pycache__");
  return names.flatMap((name) => walk(`${path}/${name}`));
}

const paths = places.flatMap(walk).filter((path) => textName.test(path) || path === "CMakeLists.txt");
const text = new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));

function offences(rule: Rule): string[] {
  return paths.filter((path) => rule.files.test(path)).flatMap((path) =>
    (text.get(path) ?? "").split("\n").flatMap((line, i) =>
      rule.offends(line, path) ? [`${path}:${i + 1}: ${line.trim().slice(0, 120)}`] : []));
}

describe("the house", () => {
  test("is not empty", () => {
    for (const room of ["src/", "native/", "binding/", "test/"]) {
      expect(paths.filter((path) => path.startsWith(room)).length).toBeGreaterThan(0);
    }
  });

  test.each(rules.map((rule) => [rule.name, rule] as const))("%s", (_name, rule) => {
    const [path, line] = rule.example;
    expect(rule.files.test(path) && rule.offends(line, path)).toBe(true);
    expect(offences(rule)).toEqual([]);
  });

  test("no file is longer than 500 lines", () => {
    const long = paths.filter((path) => /^(src|native|binding)\//.test(path))
      .map((path) => `${path}: ${(text.get(path) ?? "").split("\n").length - 1} lines`)
      .filter((entry) => Number(/(\d+) lines$/.exec(entry)?.[1]) > 500);
    expect(long).toEqual([]);
  });

  test("every source file begins with a comment of at most 8 lines that says what it is", () => {
    const wrong = paths.filter((path) => codeName.test(path)).flatMap((path) => {
      const lines = (text.get(path) ?? "").split("\n").filter((line, i) => !(i === 0 && line.startsWith("#!")));
      const opening = /^(\/\/|\/\*|#(?!\s*(pragma|include|define|if))|""")/.test(lines[0] ?? "");
      const length = lines.findIndex((line) => !/^(\/\/|#(?!\s*(pragma|include|define|if)))/.test(line));
      if (!opening) return [`${path}: no header comment`];
      return length > 8 && path !== legend ? [`${path}: header of ${length} lines`] : [];
    });
    expect(wrong).toEqual([]);
  });

  test("imports of the tree resolve inside it", () => {
    const outside = paths.filter((path) => /^(src|bench)\/.*\.ts$/.test(path)).flatMap((path) =>
      (text.get(path) ?? "").split("\n").flatMap((line) => {
        const end = target(line, path);
        return end !== undefined && relative(root, join(root, end)).startsWith("..") ? [`${path}: ${line}`] : [];
      }));
    expect(outside).toEqual([]);
  });
});
