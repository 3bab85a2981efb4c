// The backward kernels of the reference against central differences of its forward kernels; the other backends are held
// to the reference by the conformance suite.
import { describe, expect, test } from "@jest/globals";
import { reference } from "./support/backends";
import { backwardFields, makerOf, type GradientCase } from "./support/case";
import { execute } from "./support/execute";
import { tensor, type Fields, type TensorValue } from "./support/fields";
import { differenceLimit, differenceStep, largestError } from "./support/tolerance";
import { gradientCases } from "./cases";

/** sum(output * dout), by a forward run. */
function lossOf(gradient: GradientCase, fields: Fields, dout: TensorValue): number {
  const output = execute(reference, gradient.forward, fields, { dtype: "float32" }).results[gradient.output];
  return (output as Float64Array).reduce((sum, value, i) => sum + value * (dout.values[i] as number), 0);
}

/** d loss / d input, element by element, by the five-point formula. */
function differences(gradient: GradientCase, fields: Fields, input: string, dout: TensorValue): Float64Array {
  const { values } = tensor(fields, input);
  return values.map((center, i) => {
    const at = (steps: number): number => {
      const moved = Float64Array.from(values);
      moved[i] = center + steps * differenceStep;
      return lossOf(gradient, { ...fields, [input]: { ...tensor(fields, input), values: moved } }, dout);
    };
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * differenceStep);
  });
}

function analytic(gradient: GradientCase, fields: Fields, name: string): Float64Array {
  const before = tensor(fields, name);
  const after = execute(reference, gradient.backward, fields, { dtype: "float32" }).results[name] as Float64Array;
  return before.role === "accumulated" ? after.map((value, i) => value - (before.values[i] as number)) : after;
}

const small = gradientCases.filter(({ differences: isSmall }) => isSmall);

describe("backward equals central differences of forward", () => {
  test.each(small.map((gradient) => [gradient.backward, gradient.name, gradient] as const))("%s %s", (_op, _name, gradient) => {
    const fields = gradient.make(makerOf(gradient.backward, gradient.name, "float32"));
    // The same seed makes the same forward fields again, so the two sides look at one point.
    const back = backwardFields(gradient, makerOf(gradient.backward, gradient.name, "float32"));
    for (const [input, name] of Object.entries(gradient.gradients)) {
      const wanted = differences(gradient, fields, input, tensor(back, gradient.dout));
      expect(largestError(analytic(gradient, back, name), wanted)).toBeLessThanOrEqual(differenceLimit(wanted));
    }
  });

  test("covers every backward op", () => {
    const all = new Set(gradientCases.map(({ backward }) => backward));
    expect(new Set(small.map(({ backward }) => backward))).toEqual(all);
  });
});
