// A peer as a child process that does one round for each line it reads, so that its rounds and ours alternate within
// the same seconds. Its first object says that it is ready, or that it is not installed. What it measures is its own
// business.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { messageOf } from "../src/errors";

export type PeerRecord = Readonly<Record<string, unknown>>;

export interface PeerCommand {
  name: string;
  command: string;
  args: readonly string[];
}

export class Peer {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcessByStdio<Writable, Readable, null>,
    reader: Interface,
  ) {
    this.lines = reader[Symbol.asyncIterator]();
  }

  /** Starts it and waits so long for its warm-up; undefined, with a line that says why, where it is absent or fails. */
  static async start(
    { name, command, args }: PeerCommand, seconds: number, say: (line: string) => void,
  ): Promise<Peer | undefined> {
    const child = spawn(command, [...args, "--interleave"], { stdio: ["pipe", "pipe", "inherit"] });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    child.stdin.on("error", () => undefined); // its end is seen where its answer is missing
    const late = setTimeout(() => child.kill("SIGKILL"), 1000 * seconds);
    const peer = new Peer(name, child, createInterface({ input: child.stdout }));
    try {
      const status = await Promise.race([peer.next(), failed]);
      if (status["status"] === "ready") return peer;
      say(`${name}: ${String(status["status"])} (${String(status["remedy"] ?? status["reason"] ?? "")})`);
    } catch (error) {
      const reason = child.killed ? `not ready after ${seconds} s` : messageOf(error);
      say(`${name}: cannot be run: ${reason}`);
    } finally {
      clearTimeout(late);
    }
    peer.stop();
    return undefined;
  }

  private async next(): Promise<PeerRecord> {
    for (;;) {
      const line = await this.lines.next();
      if (line.done === true) throw new Error(`${this.name} ended without an answer`);
      if (line.value.startsWith("{")) return JSON.parse(line.value) as PeerRecord; // libraries print lines of their own
    }
  }

  /** One round. */
  round(): Promise<PeerRecord> {
    this.child.stdin.write("\n");
    return this.next();
  }

  stop(): void {
    this.child.stdin.end();
  }
}
