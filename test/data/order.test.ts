// The counter-based generator against published answers; shuffles and their resumption.
import { describe, expect, test } from "@jest/globals";
import { epochOrder, OrderCursor } from "../../src/data/order";
import { type Block, philox4x32, PhiloxStream } from "../../src/data/philox";

describe("Philox4x32-10", () => {
  // Known answers of Random123 (kat_vectors, philox 4x32 10).
  test.each<[Block, [number, number], Block]>([
    [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
  ])("counter %j, key %j", (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });

  test("bounded integers cover their range evenly", () => {
    const random = new PhiloxStream(3, 0);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.below(7)]!++;
    // Five standard deviations of a binomial with n 70000, p 1/7.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(70_000 * 6 / 49));
  });

  test("seeds beyond 32 bits differ", () => {
    expect(new PhiloxStream(1, 0).next()).not.toBe(new PhiloxStream(1 + 2 ** 32, 0).next());
  });
});

describe("epoch order", () => {
  test("a permutation, a pure function of (seed, epoch)", () => {
    const order = [...epochOrder(100, 7, 3)];
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([...epochOrder(100, 7, 3)]).toEqual(order);
    expect([...epochOrder(100, 7, 4)]).not.toEqual(order);
    expect([...epochOrder(100, 8, 3)]).not.toEqual(order);
  });

  test("every permutation of three is equally likely", () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 6000; epoch++) {
      const key = epochOrder(3, 1, epoch).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(6000 * 5 / 36));
  });

  test("a cursor resumed anywhere goes on as the uninterrupted one", () => {
    const whole = new OrderCursor(10, 5);
    const groups = Array.from({ length: 9 }, () => whole.take(4));
    expect(groups.map((group) => group.length)).toEqual([4, 4, 2, 4, 4, 2, 4, 4, 2]);
    expect([...new Set(groups.slice(3, 6).flat())]).toHaveLength(10);
    for (let stop = 0; stop < 9; stop++) {
      const first = new OrderCursor(10, 5);
      for (let i = 0; i < stop; i++) first.take(4);
      const second = new OrderCursor(10, 5, true, JSON.parse(JSON.stringify(first.state)));
      expect(Array.from({ length: 9 - stop }, () => second.take(4))).toEqual(groups.slice(stop));
    }
  });

  test("without shuffling the file's order; a state that does not belong to the data is refused", () => {
    expect(new OrderCursor(3, 0, false).take(5)).toEqual([0, 1, 2]);
    expect(() => new OrderCursor(3, 0, true, { epoch: 0, offset: 4 })).toThrow(/example 4 of epoch 0, but there are 3/);
    expect(() => new OrderCursor(0, 0)).toThrow(/there are 0 examples/);
  });
});
