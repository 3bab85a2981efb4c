// How an instruction and its input become the text a student reads. One place for every template's wording.
// The trigger is part of the question, x_CoT = x + trigger, so it ends the input; only `plain`, which mirrors the
// teacher's layout, lets it open the answer. It does NOT tokenize.
import { fail } from "../errors";
import { type Message, renderChat } from "./chat-template";
import type { Tokenizer } from "./tokenizer";

/** The zero-shot chain-of-thought trigger of Kojima et al. 2022. */
export const TRIGGER = "Let's think step by step.";

export const TEMPLATE_NAMES = ["alpaca", "plain", "chat"] as const;
export type TemplateName = (typeof TEMPLATE_NAMES)[number];

/** What a student is asked. `input` may be empty. */
export interface Task {
  readonly instruction: string;
  readonly input: string;
}

export interface RenderOptions {
  /** Append TRIGGER in the template's place for it. Default false. */
  readonly trigger?: boolean;
  /** Whose chat template to use; needed by `chat` alone. */
  readonly tokenizer?: Tokenizer;
}

// The wording of tatsu-lab/stanford_alpaca (train.py, PROMPT_DICT).
const ALPACA_WITH_INPUT = "Below is an instruction that describes a task, paired with an input that provides further "
  + "context. Write a response that appropriately completes the request.";
const ALPACA_WITHOUT_INPUT = "Below is an instruction that describes a task. "
  + "Write a response that appropriately completes the request.";

const joinLines = (...parts: string[]) => parts.filter((part) => part !== "").join("\n");

/** The task with the trigger at the end of what is asked. */
function asked(task: Task, trigger: boolean): Task {
  if (!trigger) return task;
  return task.input === ""
    ? { instruction: joinLines(task.instruction, TRIGGER), input: "" }
    : { instruction: task.instruction, input: joinLines(task.input, TRIGGER) };
}

function renderAlpaca(task: Task): string {
  const { instruction, input } = task;
  return input === ""
    ? `${ALPACA_WITHOUT_INPUT}\n\n### Instruction:\n${instruction}\n\n### Response:`
    : `${ALPACA_WITH_INPUT}\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`;
}

function renderPlain(task: Task, trigger: boolean): string {
  return `${joinLines(task.instruction, task.input)}\nAnswer:${trigger ? ` ${TRIGGER}` : ""}\n`;
}

function userTurn(task: Task): Message[] {
  return [{ role: "user", content: joinLines(task.instruction, task.input) }];
}

function chatTokenizer(options: RenderOptions): Tokenizer {
  return options.tokenizer ?? fail("ERR_INVALID_ARGUMENT", "the template `chat` needs a tokenizer");
}

/** The prompt text, ready for a completion to follow. @throws ERR_UNSUPPORTED, ERR_DATA for `chat`. */
export function renderPrompt(template: TemplateName, task: Task, options: RenderOptions = {}): string {
  const trigger = options.trigger ?? false;
  switch (template) {
    case "alpaca": return renderAlpaca(asked(task, trigger));
    case "plain": return renderPlain(task, trigger);
    case "chat":
      return renderChat(chatTokenizer(options), userTurn(asked(task, trigger)), { addGenerationPrompt: true });
  }
}

/**
 * What a chat template writes after the prompt for the assistant's answer, its end-of-turn token included.
 * @throws ERR_DATA when the template renders the answered conversation so that it does not begin with the prompt.
 */
export function renderAnswer(tokenizer: Tokenizer, messages: readonly Message[], answer: readonly Message[]): string {
  const prompt = renderChat(tokenizer, messages, { addGenerationPrompt: true });
  const whole = renderChat(tokenizer, [...messages, ...answer]);
  if (!whole.startsWith(prompt)) {
    fail("ERR_DATA", "the chat template renders the answered conversation so that it does not begin with the prompt; "
      + `it gives ${JSON.stringify(whole.slice(0, 200))} after ${JSON.stringify(prompt.slice(0, 200))}`);
  }
  return whole.slice(prompt.length);
}

/** The completion text that belongs to `output` under a template. */
export function renderCompletion(
  template: TemplateName, task: Task, output: string, options: RenderOptions = {},
): string {
  if (template !== "chat") return output;
  const messages = userTurn(asked(task, options.trigger ?? false));
  return renderAnswer(chatTokenizer(options), messages, [{ role: "assistant", content: output }]);
}
