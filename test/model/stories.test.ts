// A real pretrained Llama, llama2.c's stories260K: interleaved rotary pairs, tied embeddings, a text that was published
// with the model.
import { describe, expect } from "@jest/globals";
import { readLlama2c } from "../../src/checkpoint/llama2c";
import { loadTokenizer } from "../../src/text/convert";
import { sharedPath, testWith } from "../data/shared";
import { devices, makeModel } from "./support/devices";
import { generate } from "./support/sampler";

const weights = sharedPath("stories260K", "stories260K.bin");
const vocabulary = sharedPath("stories260K", "tok512.bin");

/** The start of doc/stories260K.md in karpathy/llama2.c. */
const published = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
  + "One day, she saw a big, red ball.";

describe.each(devices)("%s", (device) => {
  testWith("stories260K tells its published story", [weights, vocabulary], async () => {
    const plan = await readLlama2c(weights);
    const model = makeModel(plan.config, device);
    for (const file of plan.files) await model.read(file.path, file.entries);
    const tokenizer = await loadTokenizer(vocabulary);
    const [story] = await generate(model, [{ tokens: [1] }], { temperature: 0, maxNewTokens: 100 },
      { maxLength: 128, cacheTokens: 128 });
    model.dispose();
    expect(tokenizer.decodeContinuation(Int32Array.from(story?.tokens ?? [])).trimStart().slice(0, published.length))
      .toBe(published);
  });
});
