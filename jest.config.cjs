// How the tests run. Type errors are the type checker's business (`npm run typecheck`): here files are only transpiled.
// The Parquet readers ship as ES modules only; they are transpiled too, so that tests need no experimental flag.
const esModulesOnly = ["hyparquet", "hyparquet-compressors", "fzstd", "hysnappy"];
const sanitized = Boolean(process.env.SELFREFINE_ADDON);
const compiler = [
  "ts-jest",
  { diagnostics: false, tsconfig: { target: "ES2022", module: "CommonJS", isolatedModules: true, esModuleInterop: true, allowJs: true } },
];

module.exports = {
  testEnvironment: "node",
  roots: ["<rootDir>/src", "<rootDir>/test"],
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  transform: { "^.+\\.(ts|js)$": compiler },
  transformIgnorePatterns: [`/node_modules/(?!(${esModulesOnly.join("|")})/)`],
  testTimeout: sanitized ? 600_000 : 120_000,
  reporters: ["default", "<rootDir>/scripts/jest-reporter.cjs"],
};
