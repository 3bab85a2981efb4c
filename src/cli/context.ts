// What every verb is given: where to write, whether to be quiet, and when to stop. Results go to stdout,
// progress to stderr, so that either can be piped. It does NOT know verbs.
import { Terminal } from "../report/terminal";

export interface CommonFlags {
  json: boolean;
  quiet: boolean;
  debug: boolean;
}

export interface Context extends CommonFlags {
  signal: AbortSignal;
  terminal: Terminal;
  /** One JSON line on stdout; nothing without --json. */
  emit: (event: unknown) => void;
  /** Text for people on stdout; nothing with --json. */
  print: (text: string) => void;
  /** Set by a verb that can go on where it stopped: the line that says how. */
  resumeHint?: string;
}

export function makeContext(flags: CommonFlags, signal: AbortSignal): Context {
  return {
    ...flags,
    signal,
    terminal: new Terminal(process.stderr, { quiet: flags.quiet }),
    emit: (event) => {
      if (flags.json) process.stdout.write(`${JSON.stringify(event)}\n`);
    },
    print: (text) => {
      if (!flags.json) process.stdout.write(`${text}\n`);
    },
  };
}
