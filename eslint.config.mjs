// What the linter holds the TypeScript to. Layout beyond line length is left to the writer; the architecture is
// the business of test/house.test.ts.
import tseslint from "typescript-eslint";

const noDefaultExport = { selector: "ExportDefaultDeclaration", message: "Export by name: a name is searched for, a default is not." };
const noNativeInstanceof = {
  selector: "BinaryExpression[operator='instanceof'][right.name=/^(ArrayBuffer|(Float|Int|Uint|BigInt|BigUint)\\d+(Clamped)?Array)$/]",
  message: "Values made by the addon may come from another realm, where instanceof is false: use ArrayBuffer.isView, a tag or a code.",
};

export default tseslint.config(
  { ignores: ["**/node_modules/", "dist/", "dist-bench/", "build*/", "coverage/", "runs/", ".cache/", ".gpu/"] },
  {
    files: ["**/*.{ts,mjs,cjs}"],
    rules: {
      "max-len": ["error", { code: 120, ignoreUrls: true, ignoreTemplateLiterals: true, ignoreStrings: true, ignoreRegExpLiterals: true }],
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-template-curly-in-string": "error",
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { project: "./tsconfig.check.json", tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-restricted-syntax": ["error", noDefaultExport],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  { files: ["src/**/*.ts"], rules: { "no-restricted-syntax": ["error", noDefaultExport, noNativeInstanceof] } },
);
