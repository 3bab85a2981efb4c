// `npm run bench -- ...`: compiles bench/ together with the sources it measures, then runs it with the arguments given.
// Compiling first keeps the numbers honest: what is timed is what the tree holds, never a stale build.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const addon = process.env.SELFREFINE_ADDON ?? join(root, "build", "Release", "selfrefine.node");
const steps = [
  [join(root, "scripts", "build-native.mjs")],
  [tsc, "-p", join(root, "tsconfig.bench.json")],
  [join(root, "dist-bench", "bench", "index.js"), ...process.argv.slice(2)],
];

for (const args of steps) {
  const isBuild = args !== steps.at(-1);
  const { status } = spawnSync(process.execPath, args, {
    stdio: ["inherit", isBuild ? 2 : "inherit", "inherit"], // standard output belongs to the bench: with --json it is one object
    env: { ...process.env, SELFREFINE_ADDON: addon },
  });
  if (status !== 0) process.exit(status ?? 1);
}
