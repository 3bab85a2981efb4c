// Ctrl-C in every stage, kill -9 in the middle of a checkpoint, and a full disk: what comes after is, bit for
// bit, what an undisturbed run leaves.
import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import {
  contents,
  type Event,
  events,
  type Outcome,
  selfrefine,
  temporary,
  TINY_RUN,
  writeRunFile,
} from "../cli/command";

// Each test is two runs or more, and machines may be busy.
jest.setTimeout(600_000);

const place = temporary();
const file = join(place.path, "tiny.json");
const reference = join(place.path, "reference");

const run = (
  output: string,
  onEvent?: (event: Event, child: ChildProcess) => void,
  more: string[] = [],
): Promise<Outcome> =>
  selfrefine(["run", file, "--output", output, "--json", ...more], onEvent ? { onEvent } : {});

/** Stages of the directory, by name and by bytes. */
const stages = (output: string) => contents(join(output, "stages"));

beforeAll(async () => {
  writeRunFile(place.path);
  expect((await run(reference)).code).toBe(0);
}, 300_000);
afterAll(() => {
  if (mounted) spawnSync("umount", [disk]);
  place.remove();
});

/** Signals once, at the first event of the stage that `when` accepts. */
function interruptAt(
  stage: string,
  when: (event: Event) => boolean,
): (event: Event, child: ChildProcess) => void {
  let sent = false;
  return (event, child) => {
    if (sent || event.stage !== stage || !when(event)) return;
    sent = true;
    child.kill("SIGINT");
  };
}

const step =
  (number: number) =>
  (event: Event): boolean =>
    event.type === "train_step" && (event["step"] as { step: number }).step >= number;
const begun = (event: Event): boolean => event.type === "stage_begin";
const underWay = (event: Event): boolean => event.type === "progress";

describe("Ctrl-C, then the same command again", () => {
  test.each([
    ["demos", begun],
    ["tokenizer", begun],
    ["base", step(2)],
    ["sft", step(5)],
    ["sample", underWay],
    ["pairs", begun],
    ["dpo", step(3)],
    ["rejection-sampling", step(2)],
    ["eval-base-wordproblems", underWay],
    ["eval-self-refined-wordproblems-order", underWay],
  ] as const)("in stage %s", async (stage, when) => {
    const output = join(place.path, `int-${stage}`);
    const interrupted = await run(output, interruptAt(stage, when));
    expect([interrupted.code, interrupted.stderr]).toEqual([
      130,
      expect.stringContaining("go on with: selfrefine run"),
    ]);
    expect(interrupted.stderr).toContain("error [ERR_ABORTED]: interrupted by SIGINT");
    expect(Object.keys(stages(output)).length).toBeLessThan(Object.keys(stages(reference)).length);
    const resumed = await run(output);
    expect(resumed.code).toBe(0);
    expect(stages(output)).toEqual(stages(reference));
  });

  test("a training goes on where it was, not from its start", async () => {
    const output = join(place.path, "int-continue");
    await run(output, interruptAt("sft", step(8)));
    const resumed = await run(output);
    const steps = events(resumed)
      .filter(({ type, stage }) => type === "train_step" && stage === "sft")
      .map((event) => (event["step"] as { step: number }).step);
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(8);
    expect(stages(output)).toEqual(stages(reference));
  });

  test("a second signal ends the process at once", async () => {
    const output = join(place.path, "int-twice");
    const outcome = await run(output, (event, child) => {
      if (event.type === "stage_begin" && event.stage === "base") {
        child.kill("SIGINT");
        setTimeout(() => child.kill("SIGTERM"), 1);
      }
    });
    expect(outcome.code).toBe(130);
  });
});

test.each([1, 2, 3])("kill -9 in the middle of a checkpoint, attempt %d", async (attempt) => {
  const output = join(place.path, `kill-${attempt}`);
  let killed = false;
  const outcome = await run(
    output,
    (event, child) => {
      if (event.type !== "train_step" || event.stage !== "sft" || killed) return;
      const work = join(output, "work");
      const sft = readdirSync(work).find((name) => name.startsWith("sft-"));
      const checkpoints = join(work, sft ?? "", "scratch", "checkpoints");
      if (!sft || !existsSync(checkpoints) || (event["step"] as { step: number }).step < 2 * attempt) return;
      killed = true;
      // A temporary name appears when a checkpoint is begun and goes when it is whole: killed between the two.
      const watcher = watch(checkpoints, (_, name) => {
        if (!name?.startsWith(".checkpoint-")) return;
        watcher.close();
        child.kill("SIGKILL");
      });
    },
    ["--checkpoint-seconds", "0"],
  );
  expect(outcome.signal).toBe("SIGKILL");
  const resumed = await run(output);
  expect([resumed.code, resumed.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  expect(stages(output)).toEqual(stages(reference));
});

test("kill -9 while sampling", async () => {
  const output = join(place.path, "kill-sample");
  const outcome = await run(output, (event, child) => {
    if (event.type === "progress" && event.stage === "sample") child.kill("SIGKILL");
  });
  expect(outcome.signal).toBe("SIGKILL");
  expect((await run(output)).code).toBe(0);
  expect(stages(output)).toEqual(stages(reference));
});

/** A file system of `size` at `path`; false where this user may not mount one. */
function mountTiny(path: string, size: string): boolean {
  mkdirSync(path, { recursive: true });
  return (
    process.platform === "linux" &&
    spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "selfrefine-test", path]).status === 0
  );
}

const disk = join(place.path, "disk");
const mounted = mountTiny(disk, "256k");

(mounted ? test : test.skip)(
  "a full disk is an error with a remedy, and the run goes on once there is room",
  async () => {
    const full = await run(join(disk, "out"));
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(
      /error \[ERR_IO\]: .*(the disk is full|No space left on device).* free (some )?space/,
    );
    expect(spawnSync("mount", ["-o", "remount,size=64m", disk]).status).toBe(0);
    expect((await run(join(disk, "out"))).code).toBe(0);
    expect(stages(join(disk, "out"))).toEqual(stages(reference));
  },
);

test("two processes do not compute one stage at a time", async () => {
  const output = join(place.path, "busy");
  writeFileSync(
    join(place.path, "slow.json"),
    JSON.stringify({ ...TINY_RUN, sft: { ...TINY_RUN.sft, num_train_epochs: 1_000_000 } }),
  );
  let second: Promise<Outcome> | undefined;
  const slow = ["run", join(place.path, "slow.json"), "--output", output, "--json"];
  const first = selfrefine(slow, {
    onEvent: (event, child) => {
      if (event.type !== "train_step" || event.stage !== "sft" || second) return;
      second = selfrefine(slow).then((outcome) => {
        child.kill("SIGINT");
        return outcome;
      });
    },
  });
  await first;
  expect((await second)?.code).toBe(1);
  expect((await second)?.stderr).toMatch(/error \[ERR_BUSY\]: process \d+ is computing this stage/);
});
