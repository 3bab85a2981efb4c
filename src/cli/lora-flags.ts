// Flags of low-rank adapters: the options of the schema under the names that TRL's command line gives them. It does
// NOT open models.
import type { Options } from "yargs";
import { flagName, type FlagOf, flagsOf, givenOptions } from "../config/flags";
import { loraOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { fail } from "../errors";
import type { FreshLora } from "../model";
import type { Flags } from "./verb";

/** PEFT's r and target_modules say what they are of; on a command line the prefix has to. */
const flagOf: FlagOf = (option) =>
  flagName(option.startsWith("lora_") || option.startsWith("use_") ? option : `lora_${option}`);

export const LORA_FLAGS: Readonly<Record<string, Options>> = flagsOf(loraOptions, "Adapters:", flagOf);

/** The flag of an option that messages name: of "lora.r", or of "lora" as a whole. */
export function loraFlag(name: string): string | undefined {
  const [section, option = "r"] = name.split(".");
  return section === "lora" ? flagOf(option) : undefined;
}

/** The adapters that flags ask for. @throws ERR_CONFIG for a flag that does nothing without --lora-r */
export function loraOf(flags: Flags): Omit<FreshLora, "seed"> | undefined {
  const given = givenOptions(loraOptions, flags, flagOf);
  if (given["r"] !== undefined) return parseOptions(loraOptions, given, "lora");
  const [idle] = Object.keys(given).map(flagOf);
  if (idle === undefined) return undefined;
  return fail("ERR_CONFIG", `--${idle} has no effect without --lora-r; leave it out, or give a rank`, { option: idle });
}
