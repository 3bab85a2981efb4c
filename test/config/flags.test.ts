// Flags made of schemas: names, forms, defaults, and values back.
import { describe, expect, test } from "@jest/globals";
import { flagsOf, givenOptions } from "../../src/config/flags";
import { dpoOptions, generationOptions, sftOptions } from "../../src/config/options";
import { runSchema, teacherOptions } from "../../src/config/run-options";
import { unwrap } from "../../src/config/flags";
import type { z } from "zod";

describe("flags", () => {
  test("have the option's name, help, choices and default", () => {
    const flags = flagsOf(dpoOptions, "Training:");
    expect(flags["loss-type"]).toMatchObject({
      choices: ["sigmoid", "robust", "hinge", "ipo"],
      defaultDescription: "sigmoid",
    });
    expect(flags["learning-rate"]).toMatchObject({ defaultDescription: "1e-6", group: "Training:" });
    expect(flags["length-normalize"]?.type).toBe("boolean");
  });

  test("give back what was given, as the schema wants it, and nothing else", () => {
    expect(givenOptions(sftOptions, { "learning-rate": "1e-3", "batch-size": "4", other: 1 })).toEqual({
      learning_rate: 1e-3,
      batch_size: 4,
    });
    expect(givenOptions(generationOptions, { stop: ["\n", "Q:"] })).toEqual({ stop: ["\n", "Q:"] });
    expect(givenOptions(teacherOptions, { styles: "terse" })).toEqual({ styles: ["terse"] });
  });

  test.each([["abc"], [""], ["1e999"]])("refuse %j where a number is wanted", (value) => {
    expect(() => givenOptions(sftOptions, { "learning-rate": value })).toThrow(
      /--learning-rate is .* wanted a number/,
    );
  });

  test("refuse a scalar given twice", () => {
    expect(() => givenOptions(sftOptions, { "batch-size": ["1", "2"] })).toThrow(
      /--batch-size is given 2 times/,
    );
  });
});

/** Every leaf of a schema with its path. */
function leaves(schema: z.core.$ZodType, path: string): [string, z.core.$ZodType][] {
  const def = unwrap(schema).inner._zod.def as {
    shape?: Record<string, z.core.$ZodType>;
    element?: z.core.$ZodType;
  };
  if (def.shape) return Object.entries(def.shape).flatMap(([key, field]) => leaves(field, `${path}.${key}`));
  return [[path, schema]];
}

test("every option of a run file has a description", () => {
  const without = leaves(runSchema, "run").filter(
    ([, field]) => !(field as { description?: string }).description,
  );
  expect(without.map(([path]) => path)).toEqual([]);
});
