// A training of the command line that stops on one device goes on from its checkpoint on the other: the same data in
// the same order and the same optimizer states, so its losses stay near those of a training that nobody stopped.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { Model, trainBpe } from "../../src";
import { nativeAddon, type Device } from "../../src/native";
import { Tokenizer } from "../../src/text/tokenizer";
import { events, type Outcome, selfrefine, temporary, type StartOptions } from "./command";

// Child processes, on machines that may be busy.
jest.setTimeout(300_000);

const place = temporary();
afterAll(place.remove);

const words = ["one", "two", "three", "four", "five"];
const rows = Array.from({ length: 20 }, (_, i) => ({
  prompt: `${words[i % 5]} and ${words[(i * 3) % 5]} make`,
  completion: ` ${words.slice(i % 3, 2 + (i % 4)).join(" then ")}.`,
}));
beforeAll(async () => {
  const text = rows.map((row) => row.prompt + row.completion);
  const { tokenizer, tokenizerConfig } = trainBpe(text, { vocabSize: 300 });
  const bpe = new Tokenizer({ tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate: null });
  const model = await Model.create({
    model_type: "llama", vocab_size: bpe.vocabSize, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
    num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 10000,
    tie_word_embeddings: true, max_position_embeddings: 64,
  }, bpe, { device: "cpu", seed: 7 });
  await model.save(join(place.path, "base"));
  model.dispose();
  const write = (name: string, records: readonly object[]): void =>
    writeFileSync(join(place.path, name), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  write("sft.jsonl", rows);
  write("dpo.jsonl", rows.map(({ prompt, completion }, i) =>
    ({ prompt, chosen: completion, rejected: ` ${words[(i + 2) % 5]} ${words[i % 3]}.` })));
});

interface Step {
  step: number;
  loss: number;
}

const bare = ({ step, loss }: Step): Step => ({ step, loss });
const stepsOf = (outcome: Outcome): Step[] =>
  events(outcome).filter(({ type }) => type === "train_step").map((event) => bare(event["step"] as Step));

/** Five steps an epoch, each of other rows. */
const TRAIN = ["--batch-size", "4", "--num-train-epochs", "8", "--learning-rate", "2e-3", "--json"];
const LAST = 40;

const train = (verb: string, device: Device, output: string, options: StartOptions = {}): Promise<Outcome> =>
  selfrefine([verb, "--model", "base", "--train", `${verb}.jsonl`, "--output", output, "--device", device, ...TRAIN],
    { cwd: place.path, ...options });

const logged = (output: string): Step[] =>
  readFileSync(join(place.path, output, "training-log.jsonl"), "utf8").trimEnd().split("\n")
    .map((line) => bare(JSON.parse(line) as Step));

/**
 * Each device rounds its sums in an order of its own, by some 2^-24 of their size, and AdamW carries that from step to
 * step. Another order of the data, or moments that began anew, change a loss by a hundred times as much and more.
 */
const NEAR = 1e-6;

const away = (got: readonly Step[], wanted: readonly Step[]): number =>
  Math.max(...got.map(({ loss }, i) => Math.abs(loss - wanted[i]!.loss) / Math.max(Math.abs(wanted[i]!.loss), 0.1)));

const gpus: readonly Device[] = ["cuda-sim", "cuda"];
for (const gpu of gpus) {
  const found = nativeAddon().devices().find(({ name }) => name === gpu);
  describe(`a training that stops goes on where cpu and ${gpu} take turns`, () => {
    if (!found?.usable) {
      test.skip(`${gpu} cannot be used here: ${found?.description ?? "it is not in this build"}`, () => undefined);
      return;
    }
    const turns: [Device, Device][] = [["cpu", gpu], [gpu, "cpu"]];
    test.each(turns.flatMap((turn) => [["sft", ...turn], ["dpo", ...turn]] as const))(
      "%s, from %s to %s", async (verb, first, second) => {
        const [output, straight] = [`${verb}-${first}-${second}`, `${verb}-${first}`];
        const stopped = await train(verb, first, output, {
          onEvent: (event, child) => {
            if (event.type === "train_step" && (event["step"] as Step).step === 5) child.kill("SIGTERM");
          },
        });
        expect([stopped.code, existsSync(join(place.path, output))]).toEqual([130, false]);
        const resumed = await train(verb, second, output);
        expect([resumed.code, resumed.stderr]).toEqual([0, expect.stringMatching(`${verb}: .*, ${second}`)]);
        expect((await train(verb, first, straight)).code).toBe(0);

        const [whole, steps] = [logged(straight), logged(output)];
        expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: LAST }, (_, i) => i + 1));
        const rest = stepsOf(resumed);
        const before = rest[0]!.step - 1;
        expect(before).toBeGreaterThanOrEqual(5);
        expect(steps.slice(0, before)).toEqual(whole.slice(0, before));
        expect(steps.slice(before)).toEqual(rest);
        expect(away(rest, whole.slice(before))).toBeLessThan(NEAR);
        expect(away(rest.slice(1), whole.slice(before))).toBeGreaterThan(100 * NEAR); // of the step before
      });
  });
}
