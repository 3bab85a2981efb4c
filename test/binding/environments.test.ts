// The addon in environments that end in the middle of work: worker threads, terminate(), process.exit(), an uncaught
// error. Each runs in a process of its own, because what is tested for is an abort.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";

const given = process.env["SELFREFINE_ADDON"];
const addon = given ?? resolve(__dirname, "../../build/Release/selfrefine.node");
/** An addon that is given is one with sanitizers, and slow. */
const timeout = given === undefined ? 110_000 : 550_000;

/** What every script starts with: `step()` begins a training step of some tens of milliseconds. */
const prelude = `
  const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
  const addon = require(${JSON.stringify(addon)});
  const config = { vocabSize: 500, hiddenSize: 128, intermediateSize: 256, numHiddenLayers: 3, numAttentionHeads: 4,
    numKeyValueHeads: 2, headDim: 32, rmsNormEps: 1e-5, ropeTheta: 1e4, ropeScaling: null, ropeInterleaved: false,
    tieWordEmbeddings: true, attentionBias: false, qkNorm: false, slidingWindow: null, maxPositionEmbeddings: 512,
    bosTokenId: 1, eosTokenIds: [2] };
  async function begin() {
    const model = new addon.Model(config, { device: "cpu", dtype: "float32", threads: 2, masters: true });
    await model.initialize(1, 0.02);
    const trainer = new addon.Trainer(model, { maxTokens: 512, maxSegments: 1, maxSequences: 1, training: true });
    const buffers = trainer.buffers();
    new Int32Array(buffers.positions).set(Array.from({ length: 512 }, (_, i) => i));
    new Float32Array(buffers.weights).fill(1 / 512);
    new Int32Array(buffers.segments).set([0, 512, 0, 0]);
    const step = () => trainer.sftStep({ tokens: 512, segments: 1, sequences: 1 });
    return { model, trainer, step };
  }
`;

function run(script: string): { status: number | null; signal: string | null; output: string } {
  const child = spawnSync(process.execPath, ["-e", prelude + script], { encoding: "utf8", timeout });
  return { status: child.status, signal: child.signal, output: child.stdout + child.stderr };
}

describe("process", () => {
  test("exits in the middle of a step", () => {
    expect(run(`begin().then(({ step }) => { step(); setTimeout(() => process.exit(7), 5); });`))
      .toMatchObject({ status: 7, signal: null });
  });

  test("dies of an uncaught error in the middle of a step", () => {
    expect(run(`begin().then(({ step }) => { step(); setTimeout(() => { throw new Error("mine"); }, 5); });`))
      .toMatchObject({ status: 1, signal: null, output: expect.stringContaining("mine") });
  });

  test("ends by itself when the work is done", () => {
    expect(run(`begin().then(async ({ step }) => { console.log((await step()).loss > 0); });`))
      .toMatchObject({ status: 0, output: "true\n" });
  });
});

describe("worker threads", () => {
  const worker = `
    const source = ${JSON.stringify(prelude)} + workerSource;
    const start = (data) => new Worker(source, { eval: true, workerData: data });
    const ended = (w) => new Promise((resolve) => w.once("exit", resolve));
    const heard = (w) => new Promise((resolve, reject) => { w.once("message", resolve); w.once("error", reject); });
  `;

  test("several at once compute the same", () => {
    const result = run(`
      const workerSource = 'begin().then(async ({ step }) => parentPort.postMessage((await step()).loss));';
      ${worker}
      Promise.all([1, 2, 3].map(() => heard(start())))
        .then((losses) => console.log(new Set(losses).size, losses[0] > 0));
    `);
    expect(result).toMatchObject({ status: 0, output: "1 true\n" });
  });

  test("terminate() in the middle of steps, again and again", () => {
    const result = run(`
      const workerSource = 'begin().then(({ step }) => { parentPort.postMessage(1); '
        + 'const go = () => step().then(go); go(); });';
      ${worker}
      (async () => {
        for (let round = 0; round < 4; round++) {
          const some = [1, 2, 3].map(() => start());
          await Promise.all(some.map(heard));
          await new Promise((resolve) => setTimeout(resolve, 5 * round));
          await Promise.all(some.map((w) => w.terminate()));
        }
        const { step } = await begin(); // the main thread's own addon is unharmed
        console.log((await step()).loss > 0);
      })();
    `);
    expect(result).toMatchObject({ status: 0, output: "true\n" });
  });

  test("process.exit() of a worker and of the process while workers step", () => {
    const result = run(`
      const workerSource = 'begin().then(({ step }) => { step(); parentPort.postMessage(1); '
        + 'if (workerData) process.exit(3); });';
      ${worker}
      (async () => {
        console.log(await ended(start(true)));
        await heard(start(false));
        process.exit(4);
      })();
    `);
    expect(result).toMatchObject({ status: 4, output: "3\n" });
  });
});
