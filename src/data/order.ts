// In which order the examples of an epoch are seen: a shuffle that is a pure function of (seed, epoch), and a cursor
// that can be written down and continued, so that a resumed run sees exactly what an uninterrupted one would.
// It does NOT know the examples.
import { fail } from "../errors";
import { PhiloxStream } from "./philox";

// Keeps these draws apart from others under the same seed (weights, samples).
const SHUFFLE_DOMAIN = 0x5f0e;

/** A permutation of 0 .. count - 1, uniform over all of them (Fisher-Yates), the same for the same arguments. */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, index) => index);
  const random = new PhiloxStream(seed, epoch, SHUFFLE_DOMAIN);
  for (let last = count - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

/** Where a cursor stands: the next example is number `offset` of the order of `epoch`. */
export interface OrderState {
  readonly epoch: number;
  readonly offset: number;
}

/** Walks through epoch after epoch. Its whole state is `state`; the order itself is computed again. */
export class OrderCursor {
  private epoch: number;
  private offset: number;
  private order: Int32Array;

  /** `shuffle` false keeps the order of the file. @throws ERR_INVALID_ARGUMENT on no examples or a bad state. */
  constructor(
    readonly count: number,
    readonly seed: number,
    private readonly shuffle = true,
    state: OrderState = { epoch: 0, offset: 0 },
  ) {
    if (!Number.isInteger(count) || count < 1) {
      fail("ERR_INVALID_ARGUMENT", `there are ${count} examples; at least one is needed`);
    }
    if (!(state.epoch >= 0 && state.offset >= 0 && state.offset <= count)) {
      fail("ERR_INVALID_ARGUMENT", `the cursor is at example ${state.offset} of epoch ${state.epoch}, but there are `
        + `${count} examples: the data has changed since`, { state, count });
    }
    this.epoch = state.epoch;
    this.offset = state.offset;
    this.order = this.orderOf(this.epoch);
  }

  private orderOf(epoch: number): Int32Array {
    return this.shuffle
      ? epochOrder(this.count, this.seed, epoch)
      : Int32Array.from({ length: this.count }, (_, index) => index);
  }

  get state(): OrderState {
    return { epoch: this.epoch, offset: this.offset };
  }

  /** The next up to `size` examples. Never crosses an epoch: the last group of one may be smaller, never empty. */
  take(size: number): number[] {
    if (this.offset === this.count) {
      this.epoch++;
      this.offset = 0;
      this.order = this.orderOf(this.epoch);
    }
    const group = Array.from(this.order.subarray(this.offset, this.offset + size));
    this.offset += group.length;
    return group;
  }
}
