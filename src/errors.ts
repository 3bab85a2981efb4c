// The one error class of the package: everything a user can cause carries a code to branch on and a message that
// names what was wrong, what was got and what is wanted. Native errors are rewrapped in it, because an Error made in
// C++ belongs to another realm under jest and worker contexts, where `instanceof Error` is false.
// It does NOT know who throws: no file, tensor or option is special here.

/** What went wrong, for programs. The message says it for people. */
export type ErrorCode =
  | "ERR_INVALID_ARGUMENT"
  | "ERR_SHAPE"
  | "ERR_OUT_OF_MEMORY"
  | "ERR_IO"
  | "ERR_UNSUPPORTED"
  | "ERR_BUSY"
  | "ERR_DISPOSED"
  | "ERR_ABORTED"
  | "ERR_CUDA"
  | "ERR_INTERNAL"
  | "ERR_DATA"
  | "ERR_CHECKPOINT"
  | "ERR_CONFIG";

/** Facts behind a message: `file`, `line`, `field`, `tensor`, `option`, ... whatever the thrower can name. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export class SelfRefineError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SelfRefineError";
    this.code = code;
    this.details = details;
  }
}

/** Throws a SelfRefineError; returns `never`, so it can stand where a value is expected. */
export function fail(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown): never {
  throw new SelfRefineError(code, message, details, cause);
}

/** True for our own errors, by shape and not by class, so that it also holds across realms. */
export function isSelfRefineError(error: unknown): error is SelfRefineError {
  return typeof error === "object" && error !== null
    && (error as { name?: unknown }).name === "SelfRefineError"
    && typeof (error as { code?: unknown }).code === "string";
}

/** The message of anything that was thrown, across realms. */
export function messageOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "message" in error) return String(error.message);
  return String(error);
}

/** The `code` of a Node system error or of one of ours, else undefined. */
export function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}
