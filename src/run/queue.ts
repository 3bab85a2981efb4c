// Callbacks as a generator: what a function pushes while it runs is yielded, and what it returns is returned.
// An error of the function is thrown once all that was pushed before has been yielded. Who stops listening stops the
// function, and goes on when it has ended. It does NOT hold the function back.

/** @param work its `stop` is aborted when nobody listens any more */
export async function* eventQueue<E, R>(
  work: (push: (event: E) => void, stop: AbortSignal) => Promise<R>,
): AsyncGenerator<E, R> {
  const waiting: E[] = [];
  const stop = new AbortController();
  let wake: () => void = () => undefined;
  let finished = false;
  const result = work((event) => {
    waiting.push(event);
    wake();
  }, stop.signal).finally(() => {
    finished = true;
    wake();
  });
  result.catch(() => undefined); // thrown below, by the await
  try {
    while (!finished || waiting.length > 0) {
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (finished) resolve();
        });
    }
  } finally {
    stop.abort();
    await result.catch(() => undefined); // what it fails with for being stopped is nobody's
  }
  return result;
}
