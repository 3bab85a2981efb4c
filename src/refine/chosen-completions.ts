// What the control of the second phase learns from: rejection-sampling fine-tuning on the chosen sides of the pairs
// alone. Is the gain due to preferences, or merely to more right chains? It does NOT train.

import type { PreferencePair } from "../data/records";
import { distinct } from "./similarity";

export interface ChosenCompletion {
  id: string;
  task: string;
  prompt: string;
  completion: string;
}

/**
 * The chosen sides alone: fine-tuning on what the pairs prefer. Each once, or else as often as it is chosen: then it
 * differs from the preference training in nothing but the loss.
 */
export function chosenCompletions(pairs: readonly PreferencePair[], once = true): ChosenCompletion[] {
  const records = pairs.map(({ id, task, prompt, chosen }) => ({ id, task, prompt, completion: chosen }));
  return once ? distinct(records, (record) => `${record.prompt}\u0000${record.completion}`) : records;
}
