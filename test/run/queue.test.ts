// Callbacks as a generator: all that was pushed comes out, and whoever stops listening stops the work.
import { expect, test } from "@jest/globals";
import { eventQueue } from "../../src/run/queue";

test("yields what is pushed, then returns, or throws after it", async () => {
  const seen: number[] = [];
  const events = eventQueue<number, string>(async (push) => {
    push(1);
    await new Promise(setImmediate);
    push(2);
    return "done";
  });
  let next = await events.next();
  for (; !next.done; next = await events.next()) seen.push(next.value);
  expect([seen, next.value]).toEqual([[1, 2], "done"]);
  const failing = eventQueue<number, void>((push) => {
    push(3);
    return Promise.reject(new Error("broken"));
  });
  expect((await failing.next()).value).toBe(3);
  await expect(failing.next()).rejects.toThrow("broken");
});

test("work that nobody listens to any more is stopped, and has ended when the loop is left", async () => {
  let pushed = 0;
  let ended = false;
  const work = async (push: (event: number) => void, stop: AbortSignal): Promise<void> => {
    while (!stop.aborted && pushed < 1000) {
      push(pushed++);
      await new Promise(setImmediate);
    }
    await new Promise(setImmediate);
    ended = true;
    throw new Error("stopped");
  };
  for await (const event of eventQueue(work)) if (event === 3) break;
  expect(ended).toBe(true);
  expect(pushed).toBeLessThan(1000);
});
