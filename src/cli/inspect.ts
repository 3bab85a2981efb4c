// Verb: what something is: the devices of this machine, the tasks, a checkpoint, a run's directory, a file of
// records.
import { existsSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { isAdapterDirectory } from "../checkpoint/peft";
import { fail } from "../errors";
import { devices } from "../model";
import { inspectFile } from "../report/inspect-file";
import { inspectAdapter, inspectCheckpoint } from "../report/inspect-checkpoint";
import { inspectRun } from "../report/inspect-run";
import { textTable } from "../report/terminal";
import { getTask, isProcedural, TASK_NAMES } from "../tasks";
import { MODEL_FLAGS, TEMPLATE_FLAG, templateOf } from "./common";
import type { Flags, Verb } from "./verb";

interface Finding {
  data: object;
  text: string;
}

function inspectDevices(): Finding {
  const found = devices();
  return {
    data: { devices: found },
    text: found.map(({ name, description, usable }) =>
      `${name.padEnd(10)} ${usable ? description : `not usable: ${description}`}`).join("\n"),
  };
}

function inspectTasks(): Finding {
  const tasks = TASK_NAMES.map((name) => {
    const { kind, splits, evaluationSplit } = getTask(name);
    return {
      name,
      kind,
      splits,
      evaluated: evaluationSplit,
      data: isProcedural(name) ? "procedural" : "folder",
    };
  });
  const rows = tasks.map(({ name, kind, splits, evaluated, data }) => [
    name,
    kind,
    splits.join(", "),
    evaluated,
    data,
  ]);
  return { data: { tasks }, text: textTable(["task", "kind", "splits", "evaluated on", "data"], rows, "") };
}

async function inspectPath(path: string, flags: Flags): Promise<Finding> {
  if (!existsSync(path)) {
    fail(
      "ERR_IO",
      `${path}: no such file or directory; inspect takes a path, or one of the words devices and tasks`,
      { path },
    );
  }
  if (statSync(path).isFile()) {
    if (extname(path) === ".bin") return inspectCheckpoint(path);
    const model = flags["model"];
    return inspectFile(path, typeof model === "string" ? model : undefined, templateOf(flags));
  }
  if (await isAdapterDirectory(path)) return inspectAdapter(path);
  return existsSync(join(path, "config.json")) ? inspectCheckpoint(path) : inspectRun(path);
}

export const inspectVerb: Verb = {
  name: "inspect",
  summary: "look at devices, tasks, a checkpoint, a run or a file of records",
  positional: { name: "what", describe: "`devices`, `tasks`, or a path" },
  flags: {
    model: {
      ...MODEL_FLAGS["model"],
      demandOption: false,
      describe: "for a file: encode and audit its rows with this tokenizer",
    },
    ...TEMPLATE_FLAG,
  },
  examples: [
    ["inspect devices", "where this machine can compute"],
    ["inspect runs/quickstart", "stages done and under way, and their times"],
    ["inspect demos.jsonl --model base", "the audit of a training file"],
  ],
  run: async (flags, context) => {
    const what = String(flags["what"]);
    const { data, text } =
      what === "devices" || what === "device"
        ? inspectDevices()
        : what === "tasks"
          ? inspectTasks()
          : await inspectPath(what, flags);
    context.emit({ type: "finished", ...data });
    context.print(text);
  },
};
