// Callbacks as a generator: what a function pushes while it runs is yielded, and what it returns is returned.
// An error of the function is thrown once all that was pushed before has been yielded. It does NOT hold the
// function back.

export async function* eventQueue<E, R>(
  work: (push: (event: E) => void) => Promise<R>,
): AsyncGenerator<E, R> {
  const waiting: E[] = [];
  let wake: () => void = () => undefined;
  let finished = false;
  const result = work((event) => {
    waiting.push(event);
    wake();
  }).finally(() => {
    finished = true;
    wake();
  });
  result.catch(() => undefined); // thrown below, by the await
  while (!finished || waiting.length > 0) {
    const event = waiting.shift();
    if (event !== undefined) yield event;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (finished) resolve();
      });
  }
  return result;
}
