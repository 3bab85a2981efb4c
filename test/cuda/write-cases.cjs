// Writes the cases of the kernel tests (test/kernels/cases) to a file that selfrefine_cuda_check replays: one list of
// cases for both. Usage: node test/cuda/write-cases.cjs FILE. Needs the built addon, whose reference backend makes the
// inputs of backward ops.
// The format: lines "tensor ID dtype role rank dims... bytes" followed by the bytes, then "op NAME TITLE", "field NAME
// tensor ID | number X | numbers N X... | function" and "run"; "end" closes a case.
"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const ts = require("typescript");

const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true };
require.extensions[".ts"] = (module, file) => {
  module._compile(ts.transpileModule(readFileSync(file, "utf8"), { compilerOptions }).outputText, file);
};

const kernels = join(__dirname, "..", "kernels");
const { opCases } = require(join(kernels, "cases"));
const { makerOf } = require(join(kernels, "support", "case"));
const { encode, reals } = require(join(kernels, "support", "dtype"));
const { isTensor } = require(join(kernels, "support", "fields"));

const mostElements = 100_000; // larger cases add time under the sanitizers, not paths

function scalar(value) {
  if (typeof value === "function") return "function";
  if (Array.isArray(value)) return `numbers ${[value.length, ...value].join(" ")}`;
  return `number ${Number(value)}`;
}

/** One case in one storage type, as chunks of a file. */
function* lines(opCase, dtype) {
  const maker = makerOf(opCase.op, opCase.name, dtype);
  const fields = opCase.make(maker);
  const steps = [...(opCase.setup?.(maker, fields) ?? []), { op: opCase.op, fields }];
  const sharing = opCase.sharing?.(dtype) ?? {};
  const ids = new Map();
  for (const { op, fields: own } of steps) {
    const given = { ...own, ...Object.fromEntries(Object.entries(sharing).map(([name, owner]) => [name, own[owner]])) };
    for (const value of Object.values(given)) {
      if (!isTensor(value) || ids.has(value)) continue;
      ids.set(value, ids.size);
      const type = value.dtype === "T" ? dtype : value.dtype;
      const { buffer } = encode(value.values, type);
      const { shape, role } = value;
      yield `tensor ${ids.get(value)} ${type} ${role} ${shape.length} ${shape.join(" ")} ${buffer.byteLength}\n`;
      yield Buffer.from(buffer);
      yield "\n";
    }
    yield `op ${op} ${dtype} ${opCase.name}\n`;
    for (const [name, value] of Object.entries(given)) {
      yield `field ${name} ${isTensor(value) ? `tensor ${ids.get(value)}` : scalar(value)}\n`;
    }
    yield "run\n";
  }
  yield "end\n";
}

const sizeOf = (fields) => Object.values(fields).filter(isTensor).reduce((sum, { values }) => sum + values.length, 0);
const small = (opCase) => sizeOf(opCase.make(makerOf(opCase.op, opCase.name, "float32"))) <= mostElements;

const chunks = opCases.filter(small).flatMap((opCase) => reals.flatMap((dtype) => [...lines(opCase, dtype)]));
writeFileSync(process.argv[2], Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))));
