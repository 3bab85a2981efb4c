// What an exit code says, in one table: --help prints it and errors choose from it. The last two are what a shell gives
// for a process that SIGINT or SIGPIPE ended.
import { codeOf, isSelfRefineError } from "../errors";

export const EXIT = { ok: 0, failure: 1, usage: 2, data: 3, interrupted: 130, brokenPipe: 141 } as const;

export const EXIT_CODE_HELP =
  `Exit codes: ${EXIT.ok} done, ${EXIT.failure} failure, ${EXIT.usage} wrong usage or ` +
  `configuration, ${EXIT.data} bad data or checkpoint, ${EXIT.interrupted} interrupted, ` +
  `${EXIT.brokenPipe} the reader of its output ended`;

const BY_ERROR: Readonly<Record<string, number>> = {
  ERR_CONFIG: EXIT.usage,
  ERR_INVALID_ARGUMENT: EXIT.usage,
  ERR_DATA: EXIT.data,
  ERR_CHECKPOINT: EXIT.data,
  ERR_ABORTED: EXIT.interrupted,
};

/** An error of kind ERR_UNSUPPORTED is of a file where it names one by `path`; else of this machine or this build. */
export function exitCodeOf(error: unknown): number {
  if (isSelfRefineError(error) && error.code === "ERR_UNSUPPORTED" && "path" in error.details) return EXIT.data;
  return BY_ERROR[codeOf(error) ?? ""] ?? EXIT.failure;
}
