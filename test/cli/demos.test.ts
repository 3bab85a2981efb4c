// `demos` against a teacher behind a server, as a user drives it: one process at a time asks for an output, and an
// interrupted one goes on.
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, expect, jest, test } from "@jest/globals";
import { type Outcome, selfrefine, temporary } from "./command";

jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

test("an output is asked for by one process at a time; an interrupted asking goes on afterwards", async () => {
  let isAnswering = false;
  let asked: () => void = () => undefined;
  const first = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const waiting: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    asked();
    if (!isAnswering) return void waiting.push(response);
    const message = { role: "assistant", content: "I count. The answer is 7." };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ model: "m", choices: [{ message, finish_reason: "stop" }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const args = ["demos", "--task", "wordproblems", "--wordproblems-train", "4", "--kind", "openai", "--model", "m",
    "--base-url", url, "--output", join(place.path, "new", "demos.jsonl")];
  const run = (onStart?: (child: ChildProcess) => void): Promise<Outcome> =>
    selfrefine(args, onStart ? { onStart } : {});
  try {
    let child: ChildProcess | undefined;
    const one = run((started) => {
      child = started;
    });
    await first;
    const two = await run();
    const busy = expect.stringMatching(/error \[ERR_BUSY\]: process \d+ is writing .*demos\.jsonl/);
    expect([two.code, two.stderr]).toEqual([1, busy]);
    child?.kill("SIGINT");
    expect((await one).code).toBe(130);
    isAnswering = true;
    expect((await run()).code).toBe(0);
    expect(readFileSync(args.at(-1)!, "utf8").trim().split("\n")).toHaveLength(4);
    expect(existsSync(`${args.at(-1)}.lock`)).toBe(false);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
