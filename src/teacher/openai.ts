// A client for any server that speaks OpenAI's chat-completions protocol (vLLM, llama.cpp, TGI, hosted ones),
// over fetch. Transient failures are tried again with back-off; what cannot get better is reported at once,
// with the remedy. The key goes into one header and nowhere else. It does NOT know tasks or prompts.

import { fail, messageOf } from "../errors";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatOptions {
  /** Up to and with the version, e.g. "http://localhost:8000/v1". Default: OPENAI_BASE_URL. */
  base_url?: string;
  /** Default: OPENAI_MODEL. */
  model?: string;
  /** Default: OPENAI_API_KEY; local servers need none. */
  api_key?: string;
  temperature?: number;
  max_tokens?: number;
  seed?: number;
  /** Further attempts after the first. */
  retries?: number;
  /** Wait before the first of them, doubled each time, at most 30 s; a Retry-After header wins. */
  retry_delay_ms?: number;
  /** Longest wait for one response. */
  timeout_ms?: number;
}

export interface ChatReply {
  text: string;
  finish_reason: string | null;
  /** As the server names it, which may be more precise than what was asked for. */
  model: string;
}

const MAX_DELAY_MS = 30_000;
const TRANSIENT: ReadonlySet<number> = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

/** The server and model that options name, or else the environment. */
export function namedTeacher(
  { base_url, model }: Pick<ChatOptions, "base_url" | "model">, env: Readonly<NodeJS.ProcessEnv> = process.env,
): { base_url: string | null; model: string | null } {
  return {
    base_url: base_url ?? (env["OPENAI_BASE_URL"] || null),
    model: model ?? (env["OPENAI_MODEL"] || null),
  };
}

export class ChatClient {
  readonly model: string;
  /** What decides an answer besides the messages and their seed. */
  readonly settings: Readonly<Record<string, unknown>>;
  private readonly url: string;
  private readonly key: string | undefined;
  private readonly options: Required<Pick<ChatOptions, "retries" | "retry_delay_ms" | "timeout_ms">> & ChatOptions;

  /** Errors: ERR_INVALID_ARGUMENT when no server or model is named. */
  constructor(options: ChatOptions = {}, env: Readonly<NodeJS.ProcessEnv> = process.env) {
    const { base_url: base, model } = namedTeacher(options, env);
    if (base === null || base === "") {
      fail("ERR_INVALID_ARGUMENT", "no teacher server: give `base_url` (e.g. http://localhost:8000/v1) or set OPENAI_BASE_URL");
    }
    if (model === null || model === "") {
      fail("ERR_INVALID_ARGUMENT", "no teacher model: give `model` or set OPENAI_MODEL");
    }
    if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
      fail("ERR_INVALID_ARGUMENT", `\`base_url\` is "${base}", wanted an http or https URL up to the version, e.g. .../v1`);
    }
    this.url = `${base.replace(/\/+$/, "")}/chat/completions`;
    this.model = model;
    this.settings = { model, temperature: options.temperature, max_tokens: options.max_tokens };
    this.key = options.api_key ?? env["OPENAI_API_KEY"];
    this.options = { retries: 5, retry_delay_ms: 500, timeout_ms: 120_000, ...options };
  }

  /**
   * One completion. `seed` overrides that of the options, so that several samples of a prompt differ.
   * Errors: ERR_ABORTED; ERR_CONFIG when the server refuses the request; ERR_IO when it cannot be reached.
   */
  async complete(
    messages: readonly ChatMessage[], call: { signal?: AbortSignal; seed?: number } = {},
  ): Promise<ChatReply> {
    const { temperature, max_tokens, seed } = this.options;
    const body = JSON.stringify({ model: this.model, messages, temperature, max_tokens, seed: call.seed ?? seed });
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.attempt(body, call.signal);
      if ("reply" in outcome) return outcome.reply;
      if (attempt >= this.options.retries) {
        fail("ERR_IO", `${this.url}: gave up after ${attempt + 1} attempts: ${outcome.problem}`, { url: this.url });
      }
      const backOff = Math.min(MAX_DELAY_MS, this.options.retry_delay_ms * 2 ** attempt);
      await pause(outcome.waitMs ?? backOff, call.signal);
    }
  }

  private async attempt(body: string, signal?: AbortSignal): Promise<{ reply: ChatReply } | Problem> {
    if (signal?.aborted) aborted();
    const limit = AbortSignal.timeout(this.options.timeout_ms);
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "content-type": "application/json", ...(this.key ? { authorization: `Bearer ${this.key}` } : {}) },
        body,
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      });
      const text = await response.text();
      if (response.ok) return { reply: readReply(text, this.url, this.model) };
      if (TRANSIENT.has(response.status)) {
        return { problem: `HTTP ${response.status} ${text.slice(0, 200)}`, ...retryAfter(response.headers) };
      }
      return refused(this.url, response.status, text);
    } catch (error) {
      if (signal?.aborted) aborted();
      if (isOwn(error)) throw error;
      if (limit.aborted) return { problem: `no answer within ${this.options.timeout_ms} ms` };
      const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
      return { problem: `${messageOf(error)}${cause}` };
    }
  }
}

/** A failure that may pass. */
interface Problem {
  problem: string;
  waitMs?: number;
}

function isOwn(error: unknown): boolean {
  return (error as { name?: unknown } | null)?.name === "SelfRefineError";
}

function aborted(): never {
  return fail("ERR_ABORTED", "stopped while waiting for the teacher");
}

function refused(url: string, status: number, text: string): never {
  const remedy = status === 401 || status === 403 ? "; set OPENAI_API_KEY to a key this server accepts"
    : status === 404 ? "; check base_url (it ends in /v1 on most servers) and model" : "";
  return fail("ERR_CONFIG", `${url}: HTTP ${status}: ${text.slice(0, 300)}${remedy}`, { url, status });
}

function retryAfter(headers: Headers): { waitMs?: number } {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? { waitMs: Math.min(MAX_DELAY_MS, seconds * 1000) } : {};
}

function readReply(text: string, url: string, model: string): ChatReply {
  let reply: { model?: unknown; choices?: { message?: { content?: unknown }; finish_reason?: unknown }[] };
  try {
    reply = JSON.parse(text) as typeof reply;
  } catch (error) {
    return fail("ERR_IO", `${url}: the response is no JSON: ${text.slice(0, 200)}`, { url }, error);
  }
  const choice = reply.choices?.[0];
  const content = choice?.message?.content;
  if (typeof content !== "string") {
    fail("ERR_IO", `${url}: the response has no choices[0].message.content: ${text.slice(0, 200)}`, { url });
  }
  return {
    text: content,
    finish_reason: typeof choice?.finish_reason === "string" ? choice.finish_reason : null,
    model: typeof reply.model === "string" ? reply.model : model,
  };
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      try { aborted(); } catch (error) { reject(error as Error); }
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
