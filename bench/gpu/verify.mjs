// Does training on a device follow training on the CPU? The same small model, the same batches, the same updates on
// both: the loss curves of SFT and DPO must agree step by step, and so must every parameter's gradient of the first
// step, for AdamW hides a gradient that is too large or too small. Usage: node bench/gpu/verify.mjs DEVICE.
// Ends with "N passed, N failed, 0 skipped"; says the largest difference of each.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { nativeAddon } = require("../../dist/native.js");
const { BatchWriter } = require("../../dist/data/batch.js");

const device = process.argv[2] ?? "cuda";
const isGpu = device === "cuda";
const steps = isGpu ? 30 : 5; // a simulated GPU takes its time; the fifth batch is the first again
// Heads of 64 and 128 are what Hopper's attention kernels take.
const shape = isGpu
  ? { vocabSize: 4104, hiddenSize: 512, intermediateSize: 1376, numAttentionHeads: 4, headDim: 128 }
  : { vocabSize: 512, hiddenSize: 64, intermediateSize: 176, numAttentionHeads: 2, headDim: 64 };
const config = {
  ...shape, numKeyValueHeads: shape.numAttentionHeads / 2, numHiddenLayers: 2, rmsNormEps: 1e-5, ropeTheta: 10000,
  ropeScaling: null, ropeInterleaved: false, tieWordEmbeddings: false, attentionBias: true, qkNorm: true,
  slidingWindow: null, maxPositionEmbeddings: 256, bosTokenId: 1, eosTokenIds: [2],
};
// At these rates, and DPO's beta, the loss falls over the whole curve, and two instruction sets of one CPU differ by a
// quarter and less of what is allowed; at ten times the rate they already differ by more than that.
const learningRates = { sft: 1e-4, dpo: 1e-5 };
// Rounding differs from device to device, and each update carries the difference on. bfloat16 has 8 bits: a rounding of
// the other way is 0.4 % of a value. Such errors are of both signs: in the scale, a gradient's part along the CPU's,
// thousands of them nearly cancel, where a factor forgotten in a kernel stays. Those of a norm or bias are few: they
// cancel less, 0.4 % is left of 64.
const allowed = {
  float32: { loss: 1e-5, gradient: 2e-5, scale: 1e-5, "scale of vectors": 1e-5 },
  bfloat16: { loss: 4e-3, gradient: 3e-2, scale: 3e-3, "scale of vectors": 1e-2 },
};

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

  /** Copies, by name. */
  gradients() {
    return new Map(this.model.parameters().map(({ name }) => [name, Float32Array.from(
      new Float32Array(this.trainer.gradientView(name)))]));
  }

  update(step, learningRate) {
    const adamW = { learningRate, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
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
  let gradients;
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
    gradients ??= run.gradients();
    await run.update(step, learningRates.sft);
  }
  return { losses, gradients };
}

async function dpo(run) {
  const pairs = Array.from({ length: 6 }, (_, i) => [
    [1, ...tokens(i, 20 + i)], [[...tokens(i + 50, 30 + i), 2], [...tokens(i + 70, 33 - i), 2]],
  ]);
  const fill = () => run.fill((writer) => {
    for (const [prompt, answers] of pairs) writer.branches(prompt, answers, 0);
  });
  const options = { loss: "sigmoid", lengthNormalize: false, beta: 0.02, labelSmoothing: 0, nllWeight: 0 };
  await run.trainer.logps(fill());
  run.referenceLogps.set(run.sequenceLogps.subarray(0, 2 * pairs.length));
  const losses = [];
  let gradients;
  for (let step = 1; step <= steps; ++step) {
    losses.push((await run.trainer.dpoStep(fill(), { ...options, pairWeight: 1 / pairs.length })).loss);
    gradients ??= run.gradients();
    await run.update(step, learningRates.dpo);
  }
  return { losses, gradients };
}

/** What is furthest off, and where. Not a number is further than all. */
function worst(differences) {
  const size = ([, difference]) => (Number.isNaN(difference) ? Infinity : difference);
  return differences.reduce((most, one) => (size(one) > size(most) ? one : most), ["", 0]);
}

const curveDifference = (cpu, other) => worst(
  cpu.map((loss, i) => [`step ${i + 1}`, Math.abs(loss - other[i]) / Math.max(Math.abs(loss), 0.1)]));

const product = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** Of each parameter |g - cpu| / |cpu|, and how far g's part along cpu is from it: matrices, then vectors. */
function gradientDifferences(cpu, other, shapes) {
  const each = (measure, ranks) => worst([...cpu].filter(([name]) => ranks.includes(shapes.get(name).length))
    .map(([name, g]) => [name, measure(g, other.get(name))]));
  const scale = (g, h) => Math.abs(product(g, h) / product(g, g) - 1);
  const error = (g, h) => Math.sqrt(g.reduce((sum, value, i) => sum + (value - h[i]) ** 2, 0) / product(g, g));
  return { gradient: each(error, [1, 2]), scale: each(scale, [2]), "scale of vectors": each(scale, [1]) };
}

let [passed, failed] = [0, 0];
function judge(name, right, text) {
  right ? ++passed : ++failed;
  console.log(`${right ? "passed" : "FAILED"}: ${name}: ${text}`);
}

for (const dtype of ["float32", "bfloat16"]) {
  for (const task of [sft, dpo]) {
    const runs = [];
    let shapes;
    for (const name of ["cpu", device]) {
      const run = await new Run(name, dtype).open();
      shapes ??= new Map(run.model.parameters().map((parameter) => [parameter.name, parameter.shape]));
      runs.push(await task(run));
      run.close();
    }
    const [cpu, other] = runs;
    const ends = ({ losses }) => `${losses[0].toFixed(4)} -> ${losses.at(-1).toFixed(4)}`;
    const [name, limits] = [`${task.name} ${dtype}`, allowed[dtype]];
    const learnt = cpu.losses.at(-1) < cpu.losses[0] && other.losses.at(-1) < other.losses[0];
    const differences = {
      loss: curveDifference(cpu.losses, other.losses), ...gradientDifferences(cpu.gradients, other.gradients, shapes),
    };
    judge(`${name}, both learn`, learnt, `cpu ${ends(cpu)}, ${device} ${ends(other)}`);
    for (const [kind, [where, difference]] of Object.entries(differences)) {
      const text = `largest difference ${difference.toExponential(1)} of ${limits[kind]}, ${where}`;
      judge(`${name}, ${kind}`, difference <= limits[kind], text);
    }
  }
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
