// Learning-rate schedules: linear warm-up from 0, then cosine, linear or constant, as in transformers.
import type { SftOptions } from "../config/options";

export type Schedule = Pick<SftOptions, "lr_scheduler_type" | "warmup_ratio" | "min_lr_ratio" | "learning_rate">;

/**
 * Learning rate of optimizer step `step` (counted from 1) of `totalSteps`.
 * The warm-up has ceil(totalSteps * warmup_ratio) steps; the first of them is above 0, so that no step is lost.
 */
export function learningRateAt(step: number, totalSteps: number, schedule: Schedule): number {
  const peak = schedule.learning_rate;
  const warmup = Math.ceil(totalSteps * schedule.warmup_ratio);
  if (step <= warmup) return (peak * step) / warmup;
  if (schedule.lr_scheduler_type === "constant") return peak;
  const progress = (step - 1 - warmup) / Math.max(1, totalSteps - warmup);
  const shape = schedule.lr_scheduler_type === "linear" ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  return peak * (schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * shape);
}
