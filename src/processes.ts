// Who made something: a lock or a half-written file carries the mark of its maker, and whoever finds it later can tell
// the maker from another process that got the same id since, as happens after a restart and daily in containers.
// It does NOT know locks or files.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { codeOf } from "./errors";

/** What a mark looks like: process id, when the process began (hashed), thread; a bare id is read too. */
export const MARK = String.raw`\d+(?:\.[0-9a-f]{8}\.\d+)?`;

const UNKNOWN = "00000000";

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** When a process began, as eight digits; UNKNOWN where the system does not tell. */
function birthOf(pid: number): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Field 22, starttime; the second is the name in brackets, and may hold anything (proc(5)).
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return createHash("sha256").update(`${boot} ${started}`).digest("hex").slice(0, 8);
  } catch {
    return UNKNOWN;
  }
}

/** The mark of this thread of this process. */
export function ownMark(): string {
  return `${process.pid}.${birthOf(process.pid)}.${threadId}`;
}

export interface Maker {
  /** "thread": another one of this process, which may have ended. */
  is: "self" | "thread" | "running" | "gone";
  pid: number;
}

/** Whose mark it is; what is no mark is of one who is gone. */
export function makerOf(mark: string): Maker {
  if (!new RegExp(`^${MARK}$`).test(mark)) return { is: "gone", pid: 0 };
  const [id, birth = UNKNOWN, thread] = mark.split(".");
  const pid = Number(id);
  if (!exists(pid)) return { is: "gone", pid };
  const now = birth === UNKNOWN ? UNKNOWN : birthOf(pid);
  if (now !== UNKNOWN && now !== birth) return { is: "gone", pid };
  if (pid !== process.pid) return { is: "running", pid };
  return { is: thread === undefined || Number(thread) === threadId ? "self" : "thread", pid };
}
