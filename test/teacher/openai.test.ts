// The chat-completions client and the resumable asking, against a real HTTP server that fails in real ways.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Question } from "../../src/data/records";
import { getTask } from "../../src/tasks";
import { type AskOptions, askTeacher, askedToAnswers } from "../../src/teacher/ask";
import { demonstrate } from "../../src/teacher/demonstrations";
import { ChatClient, type ChatOptions } from "../../src/teacher/openai";

interface Request { headers: IncomingMessage["headers"]; url: string; body: { messages: { content: string }[]; seed?: number } }

const directory = mkdtempSync(join(tmpdir(), "selfrefine-openai-"));
afterAll(() => rmSync(directory, { recursive: true }));

let server: Server;
let requests: Request[];
let answer: (request: Request, response: ServerResponse) => void;

beforeEach(async () => {
  requests = [];
  answer = (request, response) => reply(response, `I add. The answer is ${request.body.messages.at(-1)?.content.match(/\d+/)?.[0]}.`);
  server = createServer((incoming, response) => {
    let text = "";
    incoming.on("data", (chunk: Buffer) => { text += chunk.toString(); });
    incoming.on("end", () => {
      const request = { headers: incoming.headers, url: incoming.url ?? "", body: JSON.parse(text) as Request["body"] };
      requests.push(request);
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => { server.closeAllConnections(); server.close(); });

function reply(response: ServerResponse, text: string): void {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ model: "served", choices: [{ message: { role: "assistant", content: text }, finish_reason: "stop" }] }));
}

function client(options: ChatOptions = {}): ChatClient {
  const { port } = server.address() as AddressInfo;
  return new ChatClient({ base_url: `http://127.0.0.1:${port}/v1`, model: "m", retry_delay_ms: 1, ...options }, {});
}

const hello = [{ role: "user" as const, content: "Say 7" }];

describe("one request", () => {
  test("speaks the protocol, with the key in its header alone", async () => {
    const got = await client({ api_key: "secret", temperature: 0, max_tokens: 9 }).complete(hello, { seed: 4 });
    expect(got).toEqual({ text: "I add. The answer is 7.", finish_reason: "stop", model: "served" });
    expect(requests[0]).toMatchObject({
      url: "/v1/chat/completions", headers: { authorization: "Bearer secret" },
      body: { model: "m", messages: hello, temperature: 0, max_tokens: 9, seed: 4 },
    });
    expect(JSON.stringify(requests[0]?.body)).not.toContain("secret");
  });

  test("server, model and key come from the environment; what is missing is said", () => {
    expect(new ChatClient({}, { OPENAI_BASE_URL: "http://h/v1/", OPENAI_MODEL: "e" }).model).toBe("e");
    expect(() => new ChatClient({}, {}))
      .toThrow("no teacher server: give `base_url` (e.g. http://localhost:8000/v1) or set OPENAI_BASE_URL");
    expect(() => new ChatClient({ base_url: "http://h" }, {})).toThrow("no teacher model");
    expect(() => new ChatClient({ base_url: "h:80/v1", model: "m" }, {}))
      .toThrow('`base_url` is "h:80/v1", wanted an http');
  });

  test("transient failures are tried again, then given up with the reason", async () => {
    let left = 2;
    const good = answer;
    answer = (request, response) => (left-- > 0 ? response.writeHead(left === 1 ? 503 : 429).end("busy") : good(request, response));
    expect((await client().complete(hello)).text).toContain("7");
    expect(requests).toHaveLength(3);
    left = 99;
    await expect(client({ retries: 2 }).complete(hello))
      .rejects.toThrow(/gave up after 3 attempts: HTTP 429 busy/);
  });

  test("Retry-After is obeyed", async () => {
    const good = answer;
    let first = 0;
    answer = (request, response) => {
      if (requests.length > 1) return good(request, response);
      first = Date.now();
      response.writeHead(429, { "retry-after": "0.2" }).end();
    };
    await client().complete(hello);
    expect(Date.now() - first).toBeGreaterThanOrEqual(190);
  });

  test("a dropped connection and a silent server are tried again", async () => {
    const good = answer;
    answer = (request, response) => {
      if (requests.length === 1) response.destroy();
      else if (requests.length > 2) good(request, response);
    };
    expect((await client({ timeout_ms: 300 }).complete(hello)).text).toContain("7");
    expect(requests).toHaveLength(3);
  });

  test("what cannot get better fails at once, with the remedy", async () => {
    answer = (_, response) => response.writeHead(401).end("bad key");
    await expect(client().complete(hello)).rejects.toMatchObject({
      code: "ERR_CONFIG", message: expect.stringMatching(/401: bad key; set OPENAI_API_KEY/),
    });
    answer = (_, response) => response.writeHead(404).end("nope");
    await expect(client().complete(hello)).rejects.toThrow(/check base_url/);
    expect(requests).toHaveLength(2);
    answer = (_, response) => response.end("<html>");
    await expect(client().complete(hello)).rejects.toThrow(/the response is no JSON: <html>/);
    answer = (_, response) => response.end('{"choices":[]}');
    await expect(client().complete(hello)).rejects.toThrow(/has no choices\[0\]/);
  });

  test("an abort ends a request and a wait", async () => {
    answer = () => undefined;
    const hanging = new AbortController();
    const request = client().complete(hello, { signal: hanging.signal });
    setTimeout(() => hanging.abort(), 50);
    await expect(request).rejects.toMatchObject({ code: "ERR_ABORTED" });
    answer = (_, response) => response.writeHead(500).end();
    const waiting = new AbortController();
    const retry = client({ retry_delay_ms: 60_000 }).complete(hello, { signal: waiting.signal });
    setTimeout(() => waiting.abort(), 100);
    await expect(retry).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});

describe("a whole split", () => {
  const task = getTask("gsm8k");
  const questions = Array.from({ length: 12 }, (_, i): Question =>
    ({ id: `q${i}`, task: "gsm8k", split: "train", question: `What is ${i + 20}?`, gold: String(i + 20) }));
  const options = (name: string, more: Partial<AskOptions> = {}): AskOptions =>
    ({ task, questions, client: client(), path: join(directory, name), concurrency: 3, ...more });

  test("asks with the published prompt and keeps the order of the questions", async () => {
    const asked = await askTeacher(options("all.jsonl", { samples: 2, seed: 100 }));
    expect(asked.map((one) => `${one.id}#${one.sample}`).slice(0, 3)).toEqual(["q0#0", "q0#1", "q1#0"]);
    expect(asked[0]?.prompt)
      .toMatch(/^Answer the following .*\nQuestion: What is 20\?\nAnswer: Let's think step-by-step$/s);
    expect(requests.map((one) => one.body.seed).sort())
      .toEqual(Array.from({ length: 24 }, (_, i) => 100 + i));
    expect(existsSync(join(directory, "all.jsonl.partial"))).toBe(false);
    const { report } = demonstrate(task, questions, askedToAnswers(asked));
    expect(report).toMatchObject({
      covered: 12, total: { demonstrations: 24, correct: 24 }, by_teacher: { served: {} },
    });
  });

  test("goes on where it was killed, half-written line and all, and asks nothing twice", async () => {
    const whole = await askTeacher(options("one.jsonl", { seed: 1 }));
    const path = join(directory, "two.jsonl");
    const stop = new AbortController();
    await expect(askTeacher(options("two.jsonl", {
      seed: 1, concurrency: 1, signal: stop.signal, onProgress: (done) => { if (done === 5) stop.abort(); },
    }))).rejects.toMatchObject({
      code: "ERR_ABORTED", message: expect.stringContaining("two.jsonl.partial keeps"),
    });
    expect(existsSync(path)).toBe(false);
    writeFileSync(`${path}.partial`, `${readFileSync(`${path}.partial`, "utf8")}{"id":"q9","samp`);
    requests = [];
    const done: number[] = [];
    expect(await askTeacher(options("two.jsonl", { seed: 1, onProgress: (n) => done.push(n) })))
      .toEqual(whole);
    expect(requests).toHaveLength(7);
    expect(done.at(-1)).toBe(12);
    expect(readFileSync(path)).toEqual(readFileSync(join(directory, "one.jsonl")));
  });

  test("stopped between two answers it says so, and keeps those that came", async () => {
    const stop = new AbortController();
    const reply = { text: "The answer is 7.", finish_reason: "stop", model: "m" };
    const deaf = {
      model: "m", settings: {},
      complete: async () => {
        await new Promise(setImmediate);
        return reply;
      },
    };
    const onProgress = (): void => stop.abort();
    const asking = askTeacher(options("deaf.jsonl", { client: deaf, concurrency: 4, signal: stop.signal, onProgress,
      questions: questions.slice(0, 8) }));
    await expect(asking).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(readFileSync(join(directory, "deaf.jsonl.partial"), "utf8").trim().split("\n")).toHaveLength(4);
  });

  test.each([
    ["another model", {}, { model: "other" }],
    ["another temperature", {}, { temperature: 0.7 }],
    ["another limit", {}, { max_tokens: 9 }],
    ["another seed", { seed: 2 }, {}],
  ])("answers of a teacher asked otherwise are not mixed in: %s", async (_what, more, asked) => {
    const path = "mixed.jsonl";
    rmSync(join(directory, `${path}.partial`), { force: true });
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    await expect(askTeacher(options(path, { seed: 1, concurrency: 1, signal: stop.signal, onProgress })))
      .rejects.toMatchObject({ code: "ERR_ABORTED" });
    await expect(askTeacher(options(path, { seed: 1, client: client(asked), ...more })))
      .rejects.toThrow(/mixed\.jsonl\.partial:1: holds an answer to another/);
    expect(await askTeacher(options(path, { seed: 1 }))).toHaveLength(12);
  });

  test("a failure stops the rest, names itself, and leaves what was answered", async () => {
    const good = answer;
    answer = (request, response) => (request.body.messages[0]?.content.includes("25") ? response.writeHead(400).end("too long") : good(request, response));
    await expect(askTeacher(options("bad.jsonl"))).rejects.toThrow(/HTTP 400: too long/);
    expect(readFileSync(join(directory, "bad.jsonl.partial"), "utf8").trim().split("\n").length).toBeGreaterThanOrEqual(3);
    expect(requests.length).toBeLessThan(12);
  });

  test("the partial file of another run is refused", async () => {
    writeFileSync(join(directory, "other.jsonl.partial"), '{"id":"q0","question":"Else?","prompt":"x","sample":0}\n');
    await expect(askTeacher(options("other.jsonl")))
      .rejects.toThrow(/other\.jsonl\.partial:1: holds an answer to another question/);
  });
});
