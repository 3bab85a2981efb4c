// Renders a conversation with a checkpoint's own Jinja template, as apply_chat_template of transformers does.
// It does NOT tokenize: see prompt.ts.
import { fail, messageOf } from "../errors";
import { JinjaTemplate } from "./libraries";
import type { Tokenizer } from "./tokenizer";
import { specialTokenText } from "./tokenizer-files";

/** One turn, in the field's form. Further keys (tool calls, names) are passed to the template as they are. */
export interface Message {
  readonly role: string;
  readonly content: string;
  readonly [key: string]: unknown;
}

const compiled = new WeakMap<Tokenizer, JinjaTemplate>();

function templateOf(tokenizer: Tokenizer): JinjaTemplate {
  const known = compiled.get(tokenizer);
  if (known) return known;
  if (tokenizer.chatTemplate === null) {
    fail("ERR_UNSUPPORTED", `${tokenizer.directory ?? "the tokenizer"} has no chat template (chat_template.jinja, or `
      + "chat_template in tokenizer_config.json): use the template `alpaca` or `plain`", { path: tokenizer.directory });
  }
  try {
    const template = new JinjaTemplate(tokenizer.chatTemplate);
    compiled.set(tokenizer, template);
    return template;
  } catch (error) {
    return fail("ERR_DATA", `the chat template does not parse: ${messageOf(error)}`, {}, error);
  }
}

/**
 * The text of a conversation. `addGenerationPrompt` opens the assistant's turn.
 * @throws ERR_UNSUPPORTED without a template, ERR_DATA with the template's own message when it refuses the messages.
 */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: { addGenerationPrompt?: boolean } = {},
): string {
  const template = templateOf(tokenizer);
  const config = tokenizer.source.tokenizerConfig;
  const tokens = Object.fromEntries(["bos_token", "eos_token", "pad_token", "unk_token"]
    .map((key) => [key, specialTokenText(config, key) ?? ""]));
  try {
    return template.render({
      ...tokens,
      messages: messages as unknown as Record<string, unknown>[],
      add_generation_prompt: options.addGenerationPrompt ?? false,
    });
  } catch (error) {
    return fail("ERR_DATA", `the chat template refuses the messages: ${messageOf(error)}`, {}, error);
  }
}
