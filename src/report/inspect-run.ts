// What a run's directory holds: stages that are done, stages under way, and their times. It does NOT
// recompute.
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors";
import { readJson } from "../files";
import { duration } from "./format";
import { textTable } from "./terminal";

interface StageState {
  name: string;
  state: "done" | "unfinished" | "being computed";
  seconds: number | null;
  directory: string;
}

async function stagesIn(root: string, kind: "stages" | "work"): Promise<StageState[]> {
  const folder = join(root, kind);
  const names = existsSync(folder) ? (await readdir(folder)).sort() : [];
  return Promise.all(
    names.map(async (entry) => {
      const directory = join(folder, entry);
      const timing = existsSync(join(directory, "timing.json"))
        ? ((await readJson(join(directory, "timing.json"))) as { seconds?: number })
        : {};
      const state =
        kind === "stages"
          ? ("done" as const)
          : existsSync(join(directory, "lock"))
            ? ("being computed" as const)
            : ("unfinished" as const);
      return { name: entry.replace(/-[0-9a-f]{16}$/, ""), state, seconds: timing.seconds ?? null, directory };
    }),
  );
}

export async function inspectRun(path: string): Promise<{ data: object; text: string }> {
  const stages = [...(await stagesIn(path, "stages")), ...(await stagesIn(path, "work"))];
  if (stages.length === 0) {
    fail("ERR_DATA", `${path}: neither a checkpoint (no config.json) nor a run (no stages)`, { path });
  }
  const rows = stages.map(({ name, state, seconds, directory }) => [
    name,
    state,
    seconds === null ? "" : duration(seconds),
    directory,
  ]);
  return { data: { path, stages }, text: textTable(["stage", "state", "time", "directory"], rows, "") };
}
