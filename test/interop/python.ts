// The Python of the tests that ask Hugging Face's own libraries: SELFREFINE_PYTHON, or python3. A process that answers
// one JSON request a line. Tests for which it lacks a package are skipped by a name that says which.
import { spawn, spawnSync, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { afterAll, describe } from "@jest/globals";

const command = process.env.SELFREFINE_PYTHON ?? "python3";
/** Older ones spell configs otherwise and are no longer released. */
const NEEDS = "import importlib.metadata as m, sys\n"
  + "for n in sys.argv[1:]:\n"
  + "  try: m.version(n)\n"
  + "  except m.PackageNotFoundError: print(n, end=' ')\n"
  + "if not sys.argv[1:] or 'transformers' not in sys.argv: sys.exit()\n"
  + "try: print('' if int(m.version('transformers').split('.')[0]) >= 5 else 'transformers>=5')\n"
  + "except m.PackageNotFoundError: pass\n";

function missing(packages: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, ["-c", NEEDS, ...packages], { encoding: "utf8" });
  if (status !== 0) return `no ${command}; set SELFREFINE_PYTHON`;
  const names = stdout.trim();
  return names === "" ? undefined : `${command} lacks ${names}; set SELFREFINE_PYTHON`;
}

/** `describe`, or a skip whose name says what is missing. */
export function describeWith(name: string, packages: readonly string[], body: (python: Python) => void): void {
  const reason = missing(packages);
  if (reason !== undefined) return describe.skip(`${name} (${reason})`, () => body(new Python()));
  describe(name, () => {
    const python = new Python();
    afterAll(() => python.end());
    body(python);
  });
}

export class Python {
  private child: ChildProcessByStdio<Writable, Readable, Readable> | undefined;
  private lines!: AsyncIterator<string>;
  private complaints = "";

  /** One call of hf.py. @throws with the end of what Python said when it fails */
  async call<T>(name: string, args: Readonly<Record<string, unknown>>): Promise<T> {
    const child = this.child ??= this.start();
    child.stdin.write(`${JSON.stringify({ call: name, ...args })}\n`);
    const line = await this.lines.next();
    if (line.done === true) throw new Error(`${command}: ${name} failed:\n${this.complaints.slice(-4000)}`);
    return JSON.parse(line.value) as T;
  }

  private start(): ChildProcessByStdio<Writable, Readable, Readable> {
    const child = spawn(command, ["-u", join(__dirname, "hf.py")], { stdio: ["pipe", "pipe", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.complaints += text;
    });
    child.stdin.on("error", () => undefined); // it died: the missing answer says so
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return child;
  }

  /** Lets it end, and waits until it has. */
  async end(): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null) return;
    const closed = once(child, "close");
    child.stdin.end();
    await closed;
  }
}
