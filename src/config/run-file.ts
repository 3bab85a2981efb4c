// A run file (YAML or JSON) to a checked configuration: every fault is named with file, line and key path,
// environment variables in paths are filled in, and relative paths start at the file. It does NOT run
// anything.
import { existsSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { isNode, LineCounter, parseDocument, type Document } from "yaml";
import { fail } from "../errors";
import { expectPath, readText } from "../files";
import { explain, type Issue, type KeyPath, showPath } from "./issues";
import { spell } from "./names";
import { crossChecks, idleOptions } from "./run-rules";
import { type RunConfig, type RunConfigInput, runSchema, type TaskSource } from "./run-options";

/** A value to put in the place of the file's: "sft.learning_rate" and 1e-3. */
export type Overrides = Readonly<Record<string, unknown>>;

/** What its giver calls an override, by its key: "--set". */
export type OverrideName = (key: string) => string;

interface Source {
  file: string;
  document: Document.Parsed;
  /** Whether it is a file, whose lines can be pointed at. */
  hasLines: boolean;
  lines: LineCounter;
  overrides: Overrides;
  overrideName: OverrideName;
}

/** The override that put something at a path: the value there, or what is above or below it. */
function overrideAt({ overrides }: Source, path: KeyPath): string | undefined {
  const name = showPath(path);
  const isWithin = (inner: string, outer: string) => inner === outer || inner.startsWith(`${outer}.`);
  const keys = Object.keys(overrides);
  return keys.find((key) => isWithin(name, key)) ?? keys.find((key) => isWithin(key, name));
}

/**
 * "--set", "configs/x.yaml:12", or the file alone where the path stands nowhere (a missing key's parent).
 */
function place(source: Source, path: KeyPath): string {
  const key = overrideAt(source, path);
  if (key !== undefined) return source.overrideName(key);
  for (let depth = source.hasLines ? path.length : 0; depth > 0; depth--) {
    const node: unknown = source.document.getIn(path.slice(0, depth), true);
    const range = isNode(node) ? node.range : undefined;
    if (range) return `${source.file}:${source.lines.linePos(range[0]).line}`;
  }
  return source.file;
}

function refuse(source: Source, issues: readonly Issue[]): never {
  // Names are whole key paths already, which is how they are written there.
  const lines = issues.map(({ path, text }) => `${place(source, path)}: ${spell(text, (name) => name)}`);
  return fail("ERR_CONFIG", lines.join("\n"), {
    file: source.file,
    paths: issues.map(({ path }) => showPath(path)),
  });
}

function parseText(text: string, file: string): Pick<Source, "document" | "lines"> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: true, uniqueKeys: true });
  const error = document.errors[0];
  if (error) {
    fail(
      "ERR_CONFIG",
      `${file}:${error.linePos?.[0].line ?? 1}: not valid YAML: ${error.message.split("\n")[0]}`,
      { file },
    );
  }
  return { document, lines };
}

function override(value: unknown, overrides: Overrides): unknown {
  const copy = structuredClone(value ?? {}) as Record<string, unknown>;
  for (const [name, item] of Object.entries(overrides)) {
    const keys = name.split(".");
    const last = keys.pop() as string;
    const parent = keys.reduce<Record<string, unknown>>((here, key) => {
      here[key] = typeof here[key] === "object" && here[key] !== null ? here[key] : {};
      return here[key] as Record<string, unknown>;
    }, copy);
    parent[last] = item;
  }
  return copy;
}

/** ${NAME} and ${NAME:-default}, as shells write them. */
function fillIn(text: string, complain: (text: string) => never): string {
  return text.replace(
    /\$\{(\w+)(?::-([^}]*))?\}/g,
    (_, name: string, otherwise: string | undefined) =>
      process.env[name] || (otherwise ?? complain(`the environment variable ${name} is not set`)),
  );
}

class Paths {
  /** Where relative paths start. */
  readonly base: string;

  constructor(
    private readonly source: Source,
    dataDir: string | undefined,
  ) {
    const home = dirname(resolve(source.file));
    this.base = dataDir === undefined ? home : this.absolute(dataDir, ["data_dir"], home);
    if (!existsSync(this.base)) {
      this.complain(
        ["data_dir"],
        `data_dir: ${this.base} does not exist; get the data there, or say where it is with ` +
          "--data-dir (or the environment variable the file names)",
      );
    }
  }

  private complain(path: KeyPath, text: string): never {
    return refuse(this.source, [{ path, text }]);
  }

  absolute(text: string, path: KeyPath, base = this.base): string {
    const filled = fillIn(text, (why) => this.complain(path, `${showPath(path)}: ${why}`));
    return isAbsolute(filled) ? filled : resolve(base, filled);
  }

  list(texts: readonly string[], path: KeyPath): string[] {
    return texts.map((text, index) => this.absolute(text, [...path, index]));
  }

  optional(text: string | undefined, path: KeyPath): string | undefined {
    return text === undefined ? undefined : this.absolute(text, path);
  }
}

function resolvePaths(run: RunConfig, source: Source): RunConfig {
  const paths = new Paths(source, run.data_dir);
  const task = (one: TaskSource, path: KeyPath): TaskSource => ({
    ...one,
    ...(one.data === undefined ? {} : { data: paths.absolute(one.data, [...path, "data"]) }),
  });
  const { student, tasks, teacher } = run;
  const scratch = student.from_scratch;
  return {
    ...run,
    data_dir: paths.base,
    student: {
      path: paths.optional(student.path, ["student", "path"]),
      base_model: paths.optional(student.base_model, ["student", "base_model"]),
      tokenizer: paths.optional(student.tokenizer, ["student", "tokenizer"]),
      from_scratch: scratch && {
        ...scratch,
        tokenizer: paths.optional(scratch.tokenizer, ["student", "from_scratch", "tokenizer"]),
        pretrain: scratch.pretrain && {
          ...scratch.pretrain,
          data: paths.list(scratch.pretrain.data, ["student", "from_scratch", "pretrain", "data"]),
        },
      },
    },
    tasks: {
      train: task(tasks.train, ["tasks", "train"]),
      in_domain: tasks.in_domain.map((one, index) => task(one, ["tasks", "in_domain", index])),
      out_domain: tasks.out_domain.map((one, index) => task(one, ["tasks", "out_domain", index])),
    },
    teacher: { ...teacher, files: paths.list(teacher.files, ["teacher", "files"]) },
  };
}

function check(source: Source): RunConfig {
  const given = override(source.document.toJS(), source.overrides);
  const result = runSchema.safeParse(given);
  if (!result.success) refuse(source, explain(runSchema, result.error.issues, given));
  const issues = [...crossChecks(result.data), ...idleOptions(given, result.data)];
  if (issues.length > 0) refuse(source, issues);
  return resolvePaths(result.data, source);
}

const isOverride: OverrideName = () => "override";

/** @throws ERR_IO; ERR_CONFIG naming file, line and key path of every fault, or the override that made it */
export async function readRunFile(
  file: string,
  overrides: Overrides = {},
  overrideName = isOverride,
): Promise<RunConfig> {
  expectPath(file, "readRunFile: file", "a run file");
  return check({ file, hasLines: true, ...parseText(await readText(file), file), overrides, overrideName });
}

/** A configuration made by a program; relative paths start at the working directory. @throws ERR_CONFIG */
export function parseRunConfig(
  config: RunConfigInput,
  overrides: Overrides = {},
  name = "configuration",
  overrideName = isOverride,
): RunConfig {
  return check({ file: name, hasLines: false, ...parseText(JSON.stringify(config), name), overrides, overrideName });
}
