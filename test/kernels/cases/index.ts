// Every case of every family; each op of the engine must appear in one.
import { casesOf, type GradientCase, type OpCase } from "../support/case";
import * as attention from "./attention";
import * as cast from "./cast";
import * as embedding from "./embedding";
import * as generation from "./generation";
import * as kvCache from "./kv-cache";
import * as lmHead from "./lm-head";
import * as lora from "./lora";
import * as matmul from "./matmul";
import * as optimizer from "./optimizer";
import * as preference from "./preference";
import * as rmsnorm from "./rmsnorm";
import * as rope from "./rope";
import * as sampling from "./sampling";
import * as swiglu from "./swiglu";

export const gradientCases: GradientCase[] = [embedding, rmsnorm, rope, matmul, lora, attention, swiglu, lmHead]
  .flatMap((family) => family.gradients);

export const opCases: OpCase[] = [
  ...gradientCases.flatMap(casesOf),
  ...[rmsnorm, matmul, lora, swiglu, lmHead, preference, optimizer, cast, kvCache, sampling, generation]
    .flatMap((family) => family.cases),
];
