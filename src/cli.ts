#!/usr/bin/env node
// The command `selfrefine`. All it does is call main and give its exit code to the process.
import { main, quietOnClosedPipe } from "./cli/main";

quietOnClosedPipe(process.stdout);
quietOnClosedPipe(process.stderr);
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
