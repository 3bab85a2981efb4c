// A section of a run holds all options, defaults filled in; a call refuses options that would have no effect.
// Here the idle ones are left out. It does NOT decide which are idle for a user: config/effects.ts does.

interface Schedule {
  max_steps: number;
  num_train_epochs: number;
  lr_scheduler_type: string;
  min_lr_ratio: number;
  warmup_ratio: number;
}

export function effectiveTraining<T extends Schedule>(options: T): Partial<T> {
  const copy: Partial<T> = { ...options };
  if (options.max_steps > 0) delete copy.num_train_epochs;
  if (options.lr_scheduler_type === "constant" || options.warmup_ratio === 1) delete copy.min_lr_ratio;
  if (options.warmup_ratio === 1) delete copy.lr_scheduler_type;
  return copy;
}

interface Decoding {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  seed: number;
}

export function effectiveDecoding<T extends Decoding>(options: T): Partial<T> {
  const copy: Partial<T> = { ...options };
  if (options.temperature > 0) return copy;
  delete copy.top_k;
  delete copy.top_p;
  delete copy.min_p;
  delete copy.seed;
  return copy;
}

/** What decides a completion: the size of the batch it is decoded in does not. */
export function decisiveDecoding<T extends { max_batch: number }>({
  max_batch: _,
  ...rest
}: T): Omit<T, "max_batch"> {
  return rest;
}

export function effectivePairs<T extends { policy: string; max_teacher_share: number }>(options: T): Partial<T> {
  const copy: Partial<T> = { ...options };
  if (options.policy === "correctness") delete copy.max_teacher_share;
  return copy;
}
