// The built command driven as a user drives it: a child process, its streams and its exit code; and a run
// small enough for tests. It does NOT look inside.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export const CLI = resolve(__dirname, "..", "..", "dist", "cli.js");

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Event {
  type: string;
  stage?: string;
  [field: string]: unknown;
}

export interface StartOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Called for each JSON line on stdout, while it runs. */
  onEvent?: (event: Event, child: ChildProcess) => void;
  onStart?: (child: ChildProcess) => void;
}

/** Runs `selfrefine <args>` to its end. */
export function selfrefine(args: readonly string[], options: StartOptions = {}): Promise<Outcome> {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: build it with npm run build:ts`);
  const env = { ...process.env, ...options.env, SELFREFINE_DEBUG: "" };
  const child = spawn(process.execPath, [CLI, ...args], { cwd: options.cwd, env });
  options.onStart?.(child);
  const outcome: Outcome = { code: null, signal: null, stdout: "", stderr: "" };
  createInterface({ input: child.stdout }).on("line", (line) => {
    outcome.stdout += `${line}\n`;
    if (options.onEvent && line.startsWith("{")) options.onEvent(JSON.parse(line) as Event, child);
  });
  child.stderr.on("data", (data: Buffer) => {
    outcome.stderr += data.toString();
  });
  return new Promise((done, failed) => {
    child.on("error", failed);
    child.on("close", (code, signal) => done({ ...outcome, code, signal }));
  });
}

export const events = (outcome: Outcome): Event[] =>
  outcome.stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event);

/** A directory of its own, removed by the returned function. */
export function temporary(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "selfrefine-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A run of every stage that takes seconds. */
export const TINY_RUN = {
  name: "tiny",
  student: {
    from_scratch: {
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      max_position_embeddings: 256,
      vocab_size: 300,
      pretrain: { train_questions: "direct", num_train_epochs: 2, batch_size: 8, learning_rate: 3e-3 },
    },
  },
  tasks: {
    train: { task: "wordproblems" },
    in_domain: [{ task: "wordproblems" }],
    out_domain: [{ task: "wordproblems-order" }, { task: "wordproblems-longer" }],
  },
  wordproblems: { train: 32, test: 8 },
  template: "plain",
  demonstration_trigger: true,
  teacher: { kind: "procedural", error_rate: 0.25, filter: "correct", styles: ["terse"] },
  sft: { num_train_epochs: 4, batch_size: 8, learning_rate: 3e-3, max_length: 256 },
  sample: { n_cot: 3, n_direct: 2, max_new_tokens: 24, max_batch: 16 },
  pairs: { policy: "paper_cot", max_teacher_share: 1 },
  dpo: { batch_size: 4, num_train_epochs: 2, learning_rate: 1e-4, max_length: 256 },
  controls: ["rejection_sampling"],
  evaluation: { max_new_tokens: 24, max_batch: 4 },
};

export function writeRunFile(directory: string, change: Record<string, unknown> = {}): string {
  const path = join(directory, "tiny.json");
  writeFileSync(path, JSON.stringify({ ...TINY_RUN, ...change }, null, 2));
  return path;
}

/**
 * Relative path -> hash of every file below a directory, but for what may differ: times and caches of
 * progress.
 */
export function contents(root: string, ignore: RegExp = /(^|\/)timing\.json$/): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (folder: string): void => {
    for (const name of readdirSync(join(root, folder)).sort()) {
      const path = join(folder, name);
      if (statSync(join(root, path)).isDirectory()) walk(path);
      else if (!ignore.test(path)) {
        found[path] = createHash("sha256")
          .update(readFileSync(join(root, path)))
          .digest("hex");
      }
    }
  };
  walk("");
  return found;
}
