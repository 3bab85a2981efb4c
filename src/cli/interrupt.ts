// Ctrl-C as an AbortSignal: the first asks the work to save and stop, the second ends the process at once.
// It does NOT know what is being done.
import { SelfRefineError } from "../errors";
import { EXIT } from "./exit-codes";

/** @param onFirst called when the first signal comes, to say that work is being saved */
export function interruptSignal(onFirst: (name: string) => void): {
  signal: AbortSignal;
  release: () => void;
} {
  const controller = new AbortController();
  const handle = (name: string) => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    onFirst(name);
    controller.abort(new SelfRefineError("ERR_ABORTED", `interrupted by ${name}`));
  };
  const names = ["SIGINT", "SIGTERM"] as const;
  for (const name of names) process.on(name, handle);
  return { signal: controller.signal, release: () => names.forEach((name) => process.off(name, handle)) };
}
