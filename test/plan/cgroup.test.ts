// What a control group leaves to take. Its files are put in the place of the machine's own in a mount namespace, which
// takes the right to make one: where that is missing the tests are skipped.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "@jest/globals";

const MIB = 2 ** 20;
const addon = process.env["SELFREFINE_ADDON"] ?? resolve(__dirname, "../../build/Release/selfrefine.node");

const unshared = (script: string) => spawnSync("unshare", ["-m", "sh", "-c", script], { encoding: "utf8" });
const mount = "mount -t tmpfs none /sys/fs/cgroup";
const testWhereAllowed = unshared(mount).status === 0 ? test : test.skip;

/** Bytes that the cpu device may still give in a group of these MiB. */
function available(limit: number, used: number, stat: Record<string, number>): number {
  const lines = Object.entries(stat).map(([key, mib]) => `${key} ${mib * MIB}\\n`).join("");
  const outcome = unshared(`${mount} && cd /sys/fs/cgroup && echo ${limit * MIB} > memory.max && echo ${used * MIB} `
    + `> memory.current && printf '${lines}' > memory.stat && exec "$0" -p `.replace("$0", process.execPath)
    + `'require("${addon}").availableBytes("cpu")'`);
  return Number(outcome.stdout) / MIB;
}

testWhereAllowed("files that were read do not take the room of what is computed", () => {
  expect(available(100, 90, { anon: 10, inactive_file: 70, active_file: 10 })).toBe(80);
});

testWhereAllowed("what is in use is not given again", () => {
  expect(available(100, 90, { anon: 90, inactive_file: 0 })).toBe(10);
  expect(available(100, 120, { anon: 120 })).toBe(0);
  expect(available(100, 30, { inactive_file: 60 })).toBe(100);
});
