// A peer as a child process that does one round for each line it reads, so that its rounds and ours alternate within
// the same seconds. Its first line says that it is ready, or that it is not installed. What it measures is its own
// business.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";

export type PeerRecord = Readonly<Record<string, unknown>>;

export class Peer {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcessByStdio<Writable, Readable, null>,
    reader: Interface,
  ) {
    this.lines = reader[Symbol.asyncIterator]();
  }

  /** Starts it and waits for its warm-up; undefined, with a line that says so, where it is not installed. */
  static async start(
    name: string, command: string, args: readonly string[], say: (line: string) => void,
  ): Promise<Peer | undefined> {
    const child = spawn(command, [...args, "--interleave"], { stdio: ["pipe", "pipe", "inherit"] });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    const peer = new Peer(name, child, createInterface({ input: child.stdout }));
    try {
      const status = await Promise.race([peer.next(), failed]);
      if (status["status"] === "ready") return peer;
      say(`${name}: ${String(status["status"])} (${String(status["remedy"] ?? status["reason"] ?? "")})`);
    } catch (error) {
      say(`${name}: cannot be started: ${error instanceof Error ? error.message : String(error)}`);
    }
    peer.stop();
    return undefined;
  }

  private async next(): Promise<PeerRecord> {
    const line = await this.lines.next();
    if (line.done === true) throw new Error(`${this.name} ended without an answer`);
    return JSON.parse(line.value) as PeerRecord;
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
