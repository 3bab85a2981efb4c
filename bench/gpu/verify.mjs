// Does training on a device follow training on the CPU? The same small model, the same batches, the same updates on
// both: the loss curves of SFT and DPO must agree step by step. Usage: node bench/gpu/verify.mjs DEVICE.
// Ends with "N passed, N failed, 0 skipped"; says the largest difference of each curve.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { nativeAddon } = require("../../dist/native.js");
const { BatchWriter } = require("../../dist/data/batch.js");

const device = process.argv[2] ?? "cuda";
const steps = device === "cuda" ? 30 : 5; // a simulated GPU takes its time; the fifth batch is the first again
const config = {
  vocabSize: 509, hiddenSize: 128, intermediateSize: 344, numHiddenLayers: 3, numAttentionHeads: 4, numKeyValueHeads: 2,
  headDim: 32, rmsNormEps: 1e-5, ropeTheta: 10000, ropeScaling: null, ropeInterleaved: false, tieWordEmbeddings: false,
  attentionBias: false, qkNorm: false, slidingWindow: null, maxPositionEmbeddings: 256, bosTokenId: 1, eosTokenIds: [2],
};
// Rounding differs from device to device, and each update carries the difference on. bfloat16 has 8 bits: a rounding of
// the other way is 0.4 % of a weight.
const allowed = { float32: 1e-3, bfloat16: 2e-2 };

/** Token ids that look random and are the same everywhere. */
function tokens(seed, count) {
  let state = seed * 2654435761 + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 3 + (state >>> 8) % (config.vocabSize - 3);
  });
}

class Run {
  constructor(name, dtype) {
    this.name = name;
    this.dtype = dtype;
  }

  async open() {
    this.model = new (nativeAddon().Model)(config, { device: this.name, dtype: this.dtype, threads: 0, masters: true });
    await this.model.initialize(11, 0.05);
    const capacity = { maxTokens: 1024, maxSegments: 64, maxSequences: 32, training: true };
    this.trainer = new (nativeAddon().Trainer)(this.model, capacity);
    const buffers = this.trainer.buffers();
    const ints = ["tokens", "positions", "targets", "segments", "sequenceOfRow"];
    this.inputs = { weights: new Float32Array(buffers.weights) };
    for (const field of ints) this.inputs[field] = new Int32Array(buffers[field]);
    this.sequenceLogps = new Float32Array(buffers.sequenceLogps);
    this.referenceLogps = new Float32Array(buffers.referenceLogps);
    return this;
  }

  fill(fill) {
    const writer = new BatchWriter(this.inputs);
    fill(writer);
    return writer.size;
  }

  update(step) {
    const adamW = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
    return this.trainer.update({ ...adamW, maxGradNorm: 1, step, seed: 0 });
  }

  close() {
    this.trainer.dispose();
    this.model.dispose();
  }
}

/** Eight examples of odd lengths, four batches of them by turns. */
async function sft(run) {
  const losses = [];
  for (let step = 1; step <= steps; ++step) {
    const examples = Array.from({ length: 8 }, (_, i) => {
      const seed = (step % 4) * 8 + i;
      return { prompt: [1, ...tokens(seed, 5 + i)], completion: [...tokens(seed + 100, 40 + 7 * i), 2] };
    });
    const scored = examples.reduce((sum, { completion }) => sum + completion.length, 0);
    const size = run.fill((writer) => {
      for (const { prompt, completion } of examples) writer.example(prompt, completion, 1 / scored, false);
    });
    losses.push((await run.trainer.sftStep(size)).loss);
    await run.update(step);
  }
  return losses;
}

async function dpo(run) {
  const pairs = Array.from({ length: 6 }, (_, i) => [
    [1, ...tokens(i, 20 + i)], [[...tokens(i + 50, 30 + i), 2], [...tokens(i + 70, 33 - i), 2]],
  ]);
  const fill = () => run.fill((writer) => {
    for (const [prompt, answers] of pairs) writer.branches(prompt, answers, 0);
  });
  const options = { loss: "sigmoid", lengthNormalize: false, beta: 0.1, labelSmoothing: 0, nllWeight: 0 };
  await run.trainer.logps(fill());
  run.referenceLogps.set(run.sequenceLogps.subarray(0, 2 * pairs.length));
  const losses = [];
  for (let step = 1; step <= steps; ++step) {
    losses.push((await run.trainer.dpoStep(fill(), { ...options, pairWeight: 1 / pairs.length })).loss);
    await run.update(step);
  }
  return losses;
}

let [passed, failed] = [0, 0];
for (const dtype of ["float32", "bfloat16"]) {
  for (const task of [sft, dpo]) {
    const curves = [];
    for (const name of ["cpu", device]) {
      const run = await new Run(name, dtype).open();
      curves.push(await task(run));
      run.close();
    }
    const [cpu, other] = curves;
    const worst = Math.max(...cpu.map((loss, i) => {
      const difference = Math.abs(loss - other[i]) / Math.max(Math.abs(loss), 0.1);
      return Number.isNaN(difference) ? Infinity : difference; // Math.max would keep a NaN, but say nothing of where
    }));
    const learnt = cpu.at(-1) < cpu[0];
    const right = worst <= allowed[dtype] && learnt;
    right ? ++passed : ++failed;
    const ends = (losses) => `${losses[0].toFixed(4)} -> ${losses.at(-1).toFixed(4)}`;
    console.log(`${right ? "passed" : "FAILED"}: ${task.name} ${dtype}: cpu ${ends(cpu)}, ${device} ${ends(other)}, `
      + `largest difference ${worst.toExponential(1)} of ${allowed[dtype]}`);
  }
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
