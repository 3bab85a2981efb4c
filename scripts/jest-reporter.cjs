// The last word of a test run: every skipped test by its full name (the name carries the reason), then one line of totals.
// A test file that cannot even be loaded holds tests nobody counted, so it counts as one failure.

class TotalsReporter {
  onRunComplete(_contexts, results) {
    const skipped = results.testResults.flatMap((file) =>
      file.testResults.filter((test) => test.status !== "passed" && test.status !== "failed").map((test) => test.fullName),
    );
    for (const name of skipped) process.stdout.write(`skipped: ${name}\n`);
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    process.stdout.write(`${results.numPassedTests} passed, ${failed} failed, ${skipped.length} skipped\n`);
  }
}

module.exports = TotalsReporter;
