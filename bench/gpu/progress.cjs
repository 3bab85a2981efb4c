// Writes each test's begin and end to $SELFREFINE_PROGRESS as it happens: when a kernel hangs or time is up, the tests
// that were done count, and those under way have a name.
const { appendFileSync } = require("node:fs");

const path = process.env.SELFREFINE_PROGRESS;
const write = (word, name) => path && appendFileSync(path, `${word}\t${name.replace(/\s+/g, " ")}\n`);

class ProgressReporter {
  onTestCaseStart(_test, { fullName }) {
    write("begun", fullName);
  }

  onTestCaseResult(_test, { fullName, status }) {
    if (status === "passed" || status === "failed") write(status, fullName);
  }
}

module.exports = ProgressReporter;
