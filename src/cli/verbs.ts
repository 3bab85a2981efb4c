// The list of verbs, in the order --help shows them. It does NOT know what they do.
import { demosVerb } from "./demos";
import { dpoVerb } from "./dpo";
import { evalVerb } from "./eval";
import { inspectVerb } from "./inspect";
import { mergeVerb } from "./merge";
import { pairsVerb } from "./pairs";
import { planVerb } from "./plan";
import { quickstartVerb } from "./quickstart";
import { reportVerb } from "./report";
import { runVerb } from "./run";
import { sampleVerb } from "./sample";
import { sftVerb } from "./sft";
import type { Verb } from "./verb";

export const VERBS: readonly Verb[] = [
  quickstartVerb,
  runVerb,
  demosVerb,
  sftVerb,
  sampleVerb,
  pairsVerb,
  dpoVerb,
  evalVerb,
  mergeVerb,
  reportVerb,
  planVerb,
  inspectVerb,
];
