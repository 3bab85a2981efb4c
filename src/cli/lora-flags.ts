// Flags of low-rank adapters: the options of the schema under the names that TRL's command line gives them. It does
// NOT open models.
import type { Options } from "yargs";
import { flagName, flagsOf, givenOptions } from "../config/flags";
import { loraOptions } from "../config/options";
import { fail } from "../errors";
import type { FreshLora } from "../model";
import type { Flags } from "./verb";

/** PEFT's r and target_modules say what they are of; on a command line the prefix has to. */
const named = (option: string): string =>
  flagName(option.startsWith("lora_") || option.startsWith("use_") ? option : `lora_${option}`);

const OPTIONS = Object.keys(loraOptions.shape);

export const LORA_FLAGS: Readonly<Record<string, Options>> = Object.fromEntries(
  Object.entries(flagsOf(loraOptions, "Adapters:")).map(([flag, options]) => [
    named(flag.replaceAll("-", "_")),
    options,
  ]),
);

/** The adapters that flags ask for. @throws ERR_CONFIG for a flag that does nothing without --lora-r */
export function loraOf(flags: Flags): Omit<FreshLora, "seed"> | undefined {
  const values = Object.fromEntries(OPTIONS.map((option) => [flagName(option), flags[named(option)]]));
  const given = givenOptions(loraOptions, values);
  if (given["r"] !== undefined) return given as Omit<FreshLora, "seed">;
  const idle = OPTIONS.find((option) => given[option] !== undefined);
  if (idle === undefined) return undefined;
  return fail("ERR_CONFIG", `--${named(idle)} has no effect without --lora-r; leave it out, or give a rank`, {
    option: named(idle),
  });
}
