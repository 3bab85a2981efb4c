// The list of verbs, in the order --help shows them. It does NOT know what they do.
import { quickstartVerb } from "./quickstart";
import { runVerb } from "./run";
import type { Verb } from "./verb";

export const VERBS: readonly Verb[] = [quickstartVerb, runVerb];
