// Every kernel of Hopper's, by its name, must hold Hopper's matrix product in its PTX for sm_90a, which lies readable
// in objects built with SELFREFINE_CUDA_REPORT. Usage: node .ci/wgmma.mjs OBJECT...
// Ends with "N passed, N failed, N skipped".
import { readFileSync } from "node:fs";

let [passed, failed] = [0, 0];

function fail(message) {
  console.log(`FAILED: ${message}`);
  ++failed;
}

for (const object of process.argv.slice(2)) {
  const modules = readFileSync(object, "latin1").split(/^\.version /m).slice(1);
  for (const module of modules.filter((text) => /^\.target sm_90a\b/m.test(text))) {
    for (const kernel of module.split(/^(?:\.visible |\.weak )?\.entry /m).slice(1)) {
      const name = /^\w+/.exec(kernel)?.[0] ?? "";
      if (!/gemm_hopper|attention_\w+_hopper/.test(name)) continue;
      if (kernel.includes("wgmma.mma_async")) ++passed;
      else fail(`${name} in ${object} holds no wgmma`);
    }
  }
}
if (passed + failed === 0) fail("the objects hold no kernel of Hopper's");
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
