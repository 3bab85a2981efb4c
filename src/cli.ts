#!/usr/bin/env node
// The command `selfrefine`. All it does is call main and give its exit code to the process.
import { endOnBrokenStream, main } from "./cli/main";

endOnBrokenStream(process.stdout, "the standard output");
endOnBrokenStream(process.stderr, "the standard error");
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
