// The optimizer's loop, the same for every loss: groups of items in a seeded order, the gradient of a group, the
// schedule, the update, checkpoints. A resumed loop does exactly what an uninterrupted one does.
// A group is drawn and packed while the trainer is busy with the one before.
// It does NOT know what an item is: a loss brings `pack`.
import type { SftOptions } from "../config/options";
import type { Encoded } from "../data/encode";
import { OrderCursor, type OrderState } from "../data/order";
import { fail } from "../errors";
import { expectStates, latestCheckpoint, readProgress, restoreState, saveCheckpoint } from "../checkpoint/training-state";
import { hashJson } from "../files";
import type { Model } from "../model";
import { learningRateAt } from "./schedule";
import type { TrainingSession } from "./session";

/** The options a loop needs; those of sft and of dpo both have them. */
export type LoopOptions = Omit<SftOptions, "completion_only_loss">;

export interface TrainingControl {
  signal?: AbortSignal;
  /** Where to keep the state of an unfinished training; what is found there is continued. */
  checkpoint?: {
    directory: string;
    /** Seconds of training between two checkpoints; default 60. One is also written when the signal aborts. */
    every_seconds?: number;
  };
}

/** True for what encodeSft and encodePairs return, false for a list of records. */
export function isEncoded<T>(data: readonly unknown[] | Encoded<T>): data is Encoded<T> {
  return !Array.isArray(data);
}

/** Stands for a model and its weights as they are. */
export async function identityOf(model: Model): Promise<unknown> {
  const lora = model.lora ? { lora: model.lora } : {};
  return { config: model.config, dtype: model.options.dtype, ...lora, weights: await model.fingerprint() };
}

/** What a loss reports of a group; sums over micro-batches are its own business. */
export interface GroupResult {
  loss: number;
  /** Tokens of the group's rows, of these the scored ones, and those that went through the model. */
  rowTokens: number;
  scoredTokens: number;
  inputTokens: number;
}

export interface LoopJob<R extends GroupResult> {
  session: TrainingSession;
  count: number;
  options: LoopOptions;
  /** Stands for the data, the model as it begins and the loss: a checkpoint of other ones is refused. */
  identity: () => Promise<unknown>;
  /**
   * Writes the first micro-batch of these items into the session's inputs; what is returned, called before the next
   * `pack`, adds the gradient of the mean loss over them.
   */
  pack: (items: readonly number[]) => () => Promise<R>;
}

/** A group that was drawn, with the order before and after it. */
interface Drawn<R extends GroupResult> {
  accumulate: () => Promise<R>;
  before: OrderState;
  after: OrderState;
}

export interface LoopStep<R extends GroupResult> {
  step: number;
  totalSteps: number;
  epoch: number;
  learningRate: number;
  gradNorm: number;
  /** Tokens of all rows so far. */
  numTokens: number;
  seconds: number;
  result: R;
}

interface SavedLoop {
  step: number;
  order: OrderState;
  numTokens: number;
}

const DEFAULT_CHECKPOINT_SECONDS = 60;

/** Optimizer steps of a training: a last group of an epoch may be smaller than batch_size. */
export function totalSteps(count: number, options: LoopOptions): number {
  return options.max_steps > 0 ? options.max_steps
    : options.num_train_epochs * Math.ceil(count / options.batch_size);
}

class Checkpoints {
  private last = Date.now();
  private identity = "";

  constructor(private readonly job: LoopJob<GroupResult>, private readonly control: TrainingControl) {}

  /** To call before the first step: afterwards the weights no longer tell what was begun with. */
  async restore(): Promise<SavedLoop | undefined> {
    const where = this.control.checkpoint;
    if (!where) return undefined;
    const { identity, options, count } = this.job;
    this.identity = hashJson({ identity: await identity(), options, count });
    const found = await latestCheckpoint(where.directory);
    if (!found) return undefined;
    await expectStates(found, this.job.session);
    const saved = await readProgress<SavedLoop>(found);
    if (saved.identity !== this.identity) {
      fail("ERR_CHECKPOINT", `${found}: belongs to a training with other data, options or weights to begin `
        + "with; load the model it began with, or remove it to start anew", { path: found });
    }
    await restoreState(found, this.job.session);
    return saved.progress;
  }

  get due(): boolean {
    const where = this.control.checkpoint;
    const every = (where?.every_seconds ?? DEFAULT_CHECKPOINT_SECONDS) * 1000;
    return where !== undefined && Date.now() - this.last >= every;
  }

  async save(progress: SavedLoop): Promise<void> {
    const where = this.control.checkpoint;
    if (!where) return;
    await saveCheckpoint(where.directory, progress.step, this.job.session, { identity: this.identity, progress });
    this.last = Date.now();
  }
}

/** Runs the loop; yields after each update. When the signal aborts, writes a checkpoint and throws the reason. */
export async function* optimize<R extends GroupResult>(
  job: LoopJob<R>, control: TrainingControl,
): AsyncGenerator<LoopStep<R>, void, undefined> {
  const { session, options, count } = job;
  const checkpoints = new Checkpoints(job, control);
  const saved = await checkpoints.restore();
  const cursor = new OrderCursor(count, options.seed, true, saved?.order);
  const total = totalSteps(count, options);
  let numTokens = saved?.numTokens ?? 0;
  const draw = (): Drawn<R> => {
    const before = cursor.state;
    const accumulate = job.pack(cursor.take(options.batch_size));
    return { accumulate, before, after: cursor.state };
  };
  let next: Drawn<R> | undefined;
  for (let step = (saved?.step ?? 0) + 1; step <= total; step++) {
    const group = next ?? draw();
    const before: SavedLoop = { step: step - 1, order: group.before, numTokens };
    if (control.signal?.aborted) {
      await checkpoints.save(before);
      control.signal.throwIfAborted();
    }
    if (checkpoints.due) await checkpoints.save(before);
    const started = performance.now();
    const result = await group.accumulate();
    numTokens += result.rowTokens;
    const learningRate = learningRateAt(step, total, options);
    const updated = session.update({
      learningRate,
      beta1: options.adam_beta1,
      beta2: options.adam_beta2,
      eps: options.adam_epsilon,
      weightDecay: options.weight_decay,
      maxGradNorm: options.max_grad_norm,
      step,
      seed: options.seed,
    });
    updated.catch(() => undefined); // awaited below; should drawing throw, nobody would
    next = step < total ? draw() : undefined;
    const { gradNorm } = await updated;
    const epoch = group.after.epoch + group.after.offset / count;
    const seconds = (performance.now() - started) / 1000;
    yield { step, totalSteps: total, epoch, learningRate, gradNorm, numTokens, seconds, result };
  }
}
