// What a student reads: the wording of the templates, and the ids at the ends of prompt and completion.
import { describe, expect, test } from "@jest/globals";
import { renderChat } from "../../src/text/chat-template";
import { trainBpe } from "../../src/text/bpe-trainer";
import { convertTokenizer } from "../../src/text/convert";
import { countBoundaryMerges, encodeExample, encodePrompt } from "../../src/text/prompt";
import { renderCompletion, renderPrompt } from "../../src/text/templates";
import { Tokenizer } from "../../src/text/tokenizer";
import { sharedPath, testWith } from "../data/shared";

const CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
  + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const TEXT = "### Response:the answer is. ### Response: the answer is 42. user assistant question\n".repeat(3);

function make(config: object = {}, chatTemplate: string | null = null): Tokenizer {
  const { tokenizer, tokenizerConfig } = trainBpe([TEXT],
    { vocabSize: 320, specialTokens: ["<|im_start|>", "<|im_end|>"] });
  return new Tokenizer({
    tokenizer, tokenizerConfig: { ...tokenizerConfig, ...config }, generationConfig: {}, modelConfig: {}, chatTemplate,
  });
}

const task = { instruction: "Add.", input: "1+1" };

describe("templates", () => {
  test("Alpaca's wording, with and without input, the trigger at the end of what is asked", () => {
    expect(renderPrompt("alpaca", task)).toBe(
      "Below is an instruction that describes a task, paired with an input that provides further context. "
      + "Write a response that appropriately completes the request.\n\n"
      + "### Instruction:\nAdd.\n\n### Input:\n1+1\n\n### Response:");
    expect(renderPrompt("alpaca", { ...task, input: "" })).toBe(
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
      + "### Instruction:\nAdd.\n\n### Response:");
    expect(renderPrompt("alpaca", task, { trigger: true }))
      .toContain("### Input:\n1+1\nLet's think step by step.\n\n### Response:");
    expect(renderPrompt("alpaca", { ...task, input: "" }, { trigger: true }))
      .toContain("### Instruction:\nAdd.\nLet's think step by step.\n\n### Response:");
  });

  test("plain: the trigger opens the answer", () => {
    expect(renderPrompt("plain", task)).toBe("Add.\n1+1\nAnswer:\n");
    expect(renderPrompt("plain", task, { trigger: true })).toBe("Add.\n1+1\nAnswer: Let's think step by step.\n");
    expect(renderCompletion("plain", task, "2")).toBe("2");
  });

  test("chat: the checkpoint's template makes prompt and completion", () => {
    const tokenizer = make({}, CHATML);
    expect(renderPrompt("chat", task, { tokenizer, trigger: true }))
      .toBe("<|im_start|>user\nAdd.\n1+1\nLet's think step by step.<|im_end|>\n<|im_start|>assistant\n");
    expect(renderCompletion("chat", task, "2", { tokenizer })).toBe("2<|im_end|>\n");
  });

  test("templates that are missing, broken, refuse the messages, or rewrite the prompt, say so", () => {
    const user = [{ role: "user", content: "q" }];
    expect(() => renderChat(make(), user)).toThrow(/has no chat template/);
    expect(() => renderChat(make({}, "{% for %}"), user)).toThrow(/the chat template does not parse/);
    expect(() => renderChat(make({}, "{{ raise_exception('no users') }}"), user))
      .toThrow(/refuses the messages: .*no users/);
    const rewriting = make({}, "{{ messages | length }}{{ messages[0].content }}");
    expect(() => renderCompletion("chat", task, "2", { tokenizer: rewriting }))
      .toThrow(/does not begin with the prompt/);
    expect(() => renderPrompt("chat", task)).toThrow(/needs a tokenizer/);
  });
});

describe("encoding", () => {
  test("one BOS in front, one EOS at the end, the prompt's ids a true prefix", () => {
    const tokenizer = make();
    const first = encodeExample(tokenizer, "### Response:", "the answer");
    const second = encodeExample(tokenizer, "### Response:", "another answer");
    expect(first.promptIds).toEqual(second.promptIds);
    expect(first.promptIds[0]).toBe(tokenizer.bosId);
    expect(first.promptIds.filter((id) => id === tokenizer.bosId)).toHaveLength(1);
    expect(first.completionIds.at(-1)).toBe(tokenizer.eosId);
    expect(tokenizer.decode([...first.promptIds, ...first.completionIds])).toBe("### Response:the answer");
    expect(encodeExample(tokenizer, "q", "a", { appendEos: false }).completionIds.at(-1)).not.toBe(tokenizer.eosId);
    expect(encodeExample(tokenizer, "q", "").completionIds).toEqual([tokenizer.eosId]);
  });

  test("a BOS that the text already has is not doubled; two become one", () => {
    const tokenizer = make();
    expect(encodePrompt(tokenizer, "<s>the")).toEqual(encodePrompt(tokenizer, "the"));
    expect(encodePrompt(tokenizer, "<s><s>the")).toEqual(encodePrompt(tokenizer, "the"));
    const without = make({ add_bos_token: false });
    expect(encodePrompt(without, "the")).toEqual(tokenizer.encode("the"));
  });

  test("an empty prompt to complete is an error; one to learn after is BOS alone, where there is one", () => {
    expect(() => encodePrompt(make(), "")).toThrow(/the prompt is empty; .*\[BOS\]/);
    expect(encodeExample(make(), "", "the").promptIds).toEqual([0]);
    const without = make({ bos_token: null, add_bos_token: false });
    expect(() => encodeExample(without, "", "the")).toThrow(/the prompt is empty and the tokenizer has no BOS/);
  });

  test("a chat completion ends at its end-of-turn token, not after the line break behind it", () => {
    const tokenizer = make({ eos_token: "<|im_end|>", add_bos_token: false }, CHATML);
    const prompt = renderPrompt("chat", task, { tokenizer });
    const completion = renderCompletion("chat", task, "the answer", { tokenizer });
    const { promptIds, completionIds } = encodeExample(tokenizer, prompt, completion);
    expect(promptIds[0]).toBe(tokenizer.tokenId("<|im_start|>"));
    expect(completionIds).toEqual([...tokenizer.encode("the answer"), tokenizer.eosId]);
  });

  test("boundary merges are reported: ids differ from those of the joint text", () => {
    const tokenizer = make();
    // " the" is one token of the joint text; apart it is " " and "the".
    const merged = encodeExample(tokenizer, "### Response: ", "the answer");
    expect(merged.boundaryMerge).toBe(true);
    expect(tokenizer.decode([...merged.promptIds, ...merged.completionIds])).toBe("### Response: the answer");
    const clean = encodeExample(tokenizer, "### Response:", " the answer");
    expect(clean.boundaryMerge).toBe(false);
    expect(countBoundaryMerges([merged, clean, merged])).toBe(2);
  });

  const llama2 = sharedPath("tokenizers", "llama-2-sentencepiece", "tokenizer.model");
  testWith("SentencePiece puts no dummy space before a completion", [llama2], async () => {
    const tokenizer = await convertTokenizer(llama2);
    const { promptIds, completionIds, boundaryMerge } = encodeExample(tokenizer, "### Response:\n", "The sum is 4.");
    expect(tokenizer.decode([...promptIds, ...completionIds])).toBe("### Response:\nThe sum is 4.");
    expect([promptIds[0], completionIds.at(-1), boundaryMerge]).toEqual([1, 2, false]);
  });
});
