// Verb: the peak memory of a training or a sampling, before anything is allocated. It does NOT count: src/plan does.
import { modelRules, planRules } from "../config/effects";
import { flagsOf, givenOptions } from "../config/flags";
import { modelOptions, planOptions } from "../config/options";
import { parseOptions } from "../config/parse";
import { formatBytes, MOST_TRIED } from "../plan/memory";
import { plan, type MemoryPlan } from "../plan/plan";
import { textTable } from "../report/terminal";
import { BASE_MODEL_FLAG, baseModelOf, required, textFlag } from "./common";
import { LORA_FLAGS, loraOf } from "./lora-flags";
import type { Verb } from "./verb";

const schema = modelOptions.extend(planOptions.shape);

const integer = (value: number): string => value.toLocaleString("en-US");

function verdict({ device, option, value, largest, available_bytes: free, fits, ...plan }: MemoryPlan): string {
  if (free === null || largest === null) return `device ${device} is not here: give --memory to learn what fits`;
  const flag = `--${option.replaceAll("_", "-")}`;
  const lengths = plan.prompt_length === null || plan.max_new_tokens === null ? ""
    : `, --prompt-length ${integer(plan.prompt_length)} and --max-new-tokens ${integer(plan.max_new_tokens)}`;
  const atLeast = largest >= MOST_TRIED ? "at least " : "";
  const most = largest === 0 ? `no ${flag} is small enough`
    : `the largest ${flag} that fits is ${atLeast}${integer(largest)}`;
  return `${fits ? "fits" : "does NOT fit"} ${formatBytes(free)} with ${flag} ${integer(value)}${lengths}; ${most}`;
}

function shown(result: MemoryPlan): string {
  const { arenas, device_bytes, host_bytes, device, dtype, optim_states, mode } = result;
  const share = (bytes: number) => `${((100 * bytes) / Math.max(1, device_bytes)).toFixed(1)} %`;
  const rows = arenas.filter(({ bytes }) => bytes > 0).map(({ arena, bytes, host }) => [
    arena, formatBytes(bytes), host ? "host" : share(bytes),
  ]);
  rows.push(["in all", formatBytes(device_bytes), ""]);
  if (host_bytes > 0) rows.push(["beside it, on the host", formatBytes(host_bytes), ""]);
  const states = mode === "sample" || dtype === "float32" ? "" : `, ${optim_states} states`;
  return `${textTable([`${mode} on ${device}`, dtype + states, ""], rows, "")}\n${verdict(result)}`;
}

export const planVerb: Verb = {
  name: "plan",
  summary: "how much memory a training or a sampling takes, by arena, and what fits",
  flags: {
    model: textFlag("Hugging Face directory or its config.json, PEFT adapter, or a llama2.c .bin file", "Files:", {
      demandOption: true,
    }),
    ...BASE_MODEL_FLAG,
    ...flagsOf(modelOptions, "Model:"),
    ...LORA_FLAGS,
    ...flagsOf(planOptions, "Work:"),
  },
  examples: [
    ["plan --model base --mode dpo --dtype bfloat16 --micro-batch-tokens 8192", "on this machine, as it is now"],
    ["plan --model base --device cuda --dtype bfloat16 --optim-states bfloat16 --memory 139GiB", "for a GPU elsewhere"],
  ],
  run: async (flags, context) => {
    const given = givenOptions(schema, flags);
    parseOptions(schema, given, "plan", [...modelRules, ...planRules] as never);
    const lora = loraOf(flags);
    const result = await plan(required(flags, "model", "a model's directory or config.json"), {
      ...given,
      ...baseModelOf(flags),
      ...(lora ? { lora } : {}),
    });
    context.emit({ type: "plan", ...result });
    context.print(shown(result));
  },
};
