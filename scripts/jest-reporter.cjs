// The last word of a test run: every skipped test by its full name (the name carries the reason), then one line of
// totals. Tests that -t leaves out are nobody's: they are not counted. A test file that cannot even be loaded holds
// tests nobody counted, so it counts as one failure.
const { writeSync } = require("node:fs");

/** Standard output as a pipe does not block: a full one says EAGAIN, and nothing may be lost at exit. */
function writeAll(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

class TotalsReporter {
  constructor(config) {
    this.asked = new RegExp(config.testNamePattern || "", "i"); // as jest itself matches
  }

  onRunComplete(_contexts, results) {
    const skipped = results.testResults.flatMap((file) =>
      file.testResults
        .filter((test) => !["passed", "failed"].includes(test.status) && this.asked.test(test.fullName))
        .map((test) => test.fullName),
    );
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const lines = skipped.map((name) => `skipped: ${name}`);
    lines.push(`${results.numPassedTests} passed, ${failed} failed, ${skipped.length} skipped`);
    process.once("exit", () => writeAll(`${lines.join("\n")}\n`)); // after jest's own summary, whichever comes last
  }
}

module.exports = TotalsReporter;
