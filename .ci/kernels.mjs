// Reads a build log with ptxas's report (SELFREFINE_CUDA_REPORT) and fails on every kernel that spills registers on an
// architecture that is shipped, and on every warning of ptxas. Usage: node .ci/kernels.mjs LOG. Ends with
// "N passed, N failed, N skipped", a kernel of one architecture being one test.
import { readFileSync } from "node:fs";

/** Kernels that may spill: a part of the mangled name, with the reason. */
const allowed = [
  // 12 bytes on sm_90a, none in the main loop; with pitches of 32 bits it is sm_80 that spills. cuBLASLt takes the
  // products this tile is for, where it is found.
  { part: "gemm_mmaINS0_7MmaTileILi128ELi128ELi32ELi4ELi2ELi4ELi2EEELb0ELb0ELb1EEE" },
];

/** Those of SELFREFINE_CUDA_ARCHITECTURES in CMakeLists.txt. */
const shipped = ["sm_80", "sm_90a"];

const compiling = /Compiling entry function '(\w+)' for '(\w+)'/;
const properties = /Function properties for (\w+)/;
const spills = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/;
const used = /Used (\d+) registers/;

const lines = readFileSync(process.argv[2], "utf8").split("\n");
let [architecture, kernel, passed, failed, mostRegisters] = ["", "", 0, 0, 0];

function fail(message) {
  console.log(`FAILED: ${message}`);
  ++failed;
}

for (const line of lines) {
  if (/ptxas.*(warning|Potential Performance Loss)/i.test(line)) fail(line.trim());
  architecture = compiling.exec(line)?.[2] ?? architecture;
  kernel = properties.exec(line)?.[1] ?? kernel;
  mostRegisters = Math.max(mostRegisters, Number(used.exec(line)?.[1] ?? 0));
  const [, , stores, loads] = spills.exec(line) ?? [];
  if (stores === undefined) continue;
  const excused = !shipped.includes(architecture) || allowed.some(({ part }) => kernel.includes(part));
  if (Number(stores) + Number(loads) === 0 || excused) ++passed;
  else fail(`${kernel} for ${architecture} spills: ${stores} bytes of stores, ${loads} of loads`);
}
if (passed + failed === 0) fail("the log holds no report of ptxas");
console.log(`${mostRegisters} registers at most`);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
