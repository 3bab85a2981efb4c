// Weights and training state on disk: exact round trips, and files that lie, end early, or hold what is no number.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { NativeModel, TensorEntry } from "../../src/native";
import { testWith } from "../data/shared";
import { devices, makeModel, randomModel, smallConfig } from "./support/devices";
import { adamW, TestTrainer } from "./support/trainer";

const folder = mkdtempSync(join(tmpdir(), "selfrefine-files-"));
const place = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const values = (model: NativeModel, name: string) => new Float32Array(model.parameterView(name));
const allValues = (model: NativeModel) => model.parameters().map(({ name }) => [...values(model, name)]);
const bits = (floats: Float32Array) => new Uint32Array(floats.slice().buffer);

/** Every parameter whole, one after the other, after 8 bytes. */
function everything(model: NativeModel, dtype: TensorEntry["dtype"]): TensorEntry[] {
  let fileOffset = 8;
  return model.parameters().map(({ name, shape }) => {
    const entry = { parameter: name, rowOffset: 0, rows: shape[0] as number, fileOffset, dtype };
    fileOffset += shape.reduce((product, d) => product * d, 1) * (dtype === "F32" ? 4 : 2);
    return entry;
  });
}

describe.each(devices)("%s", (device) => {
  let model: NativeModel;
  beforeAll(async () => {
    model = await randomModel(device);
  });
  afterAll(() => model.dispose());

  const norm = "model.norm.weight";
  const embedding = "model.embed_tokens.weight";
  const entry = (given: Partial<TensorEntry> = {}): TensorEntry =>
    ({ parameter: norm, rowOffset: 0, rows: 32, fileOffset: 0, dtype: "F32", ...given });

  test("float32 weights come back bit for bit", async () => {
    const path = place("whole.bin");
    await model.write(path, Buffer.from("8 bytes."), everything(model, "F32"));
    expect(readFileSync(path, "utf8").slice(0, 8)).toBe("8 bytes.");
    const copy = makeModel(smallConfig, device);
    await copy.read(path, everything(copy, "F32"));
    expect(allValues(copy)).toEqual(allValues(model));
    copy.dispose();
  });

  test.each([["BF16", 2 ** -8], ["F16", 2 ** -11]] as const)("%s weights come back rounded", async (dtype, unit) => {
    const path = place("narrow.bin");
    await model.write(path, Buffer.alloc(8), everything(model, dtype));
    const copy = makeModel(smallConfig, device);
    await copy.read(path, everything(copy, dtype));
    for (const { name } of model.parameters()) {
      const wanted = values(model, name);
      const wrong = [...values(copy, name)].filter((value, i) => {
        const original = wanted[i] as number;
        return !(Math.abs(value - original) <= Math.max(Math.abs(original) * unit, 2 ** -25));
      });
      expect([name, wrong]).toEqual([name, []]);
    }
    const again = place("again.bin");
    await copy.write(again, Buffer.alloc(8), everything(copy, dtype));
    expect(readFileSync(again).equals(readFileSync(path))).toBe(true);
    copy.dispose();
  });

  test("every half is read as the number it is", async () => {
    const halves = [0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3c00, 0x3555, 0xc000, 0x7bff, 0xfbff];
    const wanted = [0, -0, 2 ** -24, -1023 * 2 ** -24, 2 ** -14, 1, 0.333251953125, -2, 65504, -65504];
    const path = place("halves.bin");
    writeFileSync(path, new Uint8Array(Uint16Array.from(halves).buffer));
    await model.read(path, [entry({ rows: halves.length, dtype: "F16" })]);
    expect(bits(values(model, norm).slice(0, halves.length))).toEqual(bits(Float32Array.from(wanted)));
    values(model, norm).fill(1);
    model.sync();
  });

  test("part of the rows of a matrix", async () => {
    const path = place("rows.bin");
    writeFileSync(path, new Uint8Array(Float32Array.from({ length: 64 }, (_, i) => i).buffer));
    const before = [...values(model, embedding)];
    await model.read(path, [entry({ parameter: embedding, rowOffset: 3, rows: 2 })]);
    expect([...values(model, embedding)])
      .toEqual(before.map((value, i) => (i >= 96 && i < 160 ? i - 96 : value)));
  });

  test("bad entries name the parameter and what is wrong", async () => {
    const path = place("short.bin");
    writeFileSync(path, new Uint8Array(100));
    const read = (given: Partial<TensorEntry>) => model.read(path, [entry(given)]);
    await expect(read({})).rejects.toMatchObject({
      code: "ERR_IO",
      message: expect.stringMatching(/short\.bin: has 100 bytes, but model\.norm\.weight ends at byte 128/),
    });
    await expect(read({ fileOffset: 2 ** 53 - 1 })).rejects.toMatchObject({ code: "ERR_IO" });
    await expect(read({ rowOffset: 20 })).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringMatching(/rows \[20, 52\) of model\.norm\.weight, which has 32/),
    });
    await expect(read({ parameter: "model.nose.weight" })).rejects.toThrow(/no parameter "model.nose.weight"/);
    await expect(read({ dtype: "F8" as "F16" })).rejects.toThrow(/entries\[0\]\.dtype is "F8", expected one of "F32"/);
    await expect(read({ rows: -1 })).rejects.toThrow(/entries\[0\]\.rows is -1/);
    await expect(model.read(place("absent.bin"), [])).rejects.toMatchObject({ code: "ERR_IO" });
    await expect(model.read(folder, [])).rejects.toMatchObject({ code: "ERR_IO" });
  });

  test.each([["NaN", NaN], ["inf", Infinity]])("a weight of %s is refused by name and place", async (shown, value) => {
    const path = place("nan.bin");
    const numbers = new Float32Array(64);
    numbers[45] = value;
    writeFileSync(path, new Uint8Array(numbers.buffer));
    const victim = makeModel(smallConfig, device);
    await expect(victim.read(path, [entry({ parameter: embedding, rows: 2 })])).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringMatching(new RegExp(`model\\.embed_tokens\\.weight \\[1, 13\\] is -?${shown}`, "i")),
    });
    values(victim, norm)[3] = value;
    await expect(victim.write(path, Buffer.alloc(0), [entry()])).rejects.toThrow(/model\.norm\.weight \[3, 0\]/);
    values(victim, norm)[3] = 1e5; // finite, but no half
    await expect(victim.write(path, Buffer.alloc(0), [entry({ dtype: "F16" })])).rejects.toThrow(/too large for the type/);
    victim.dispose();
  });

  testWith("a full disk is an error with a remedy", ["/dev/full"], async () => {
    await expect(model.write("/dev/full", Buffer.alloc(8), everything(model, "F32"))).rejects.toMatchObject({
      code: "ERR_IO", message: expect.stringMatching(/\/dev\/full: cannot write: No space left on device; free space/) });
    const trainer = new TestTrainer(model);
    await expect(trainer.native.writeState("/dev/full", Buffer.from("h"))).rejects.toMatchObject({ code: "ERR_IO" });
    trainer.dispose();
  });

  test("a missing folder is an error with a remedy", async () => {
    await expect(model.write(join(folder, "no", "where"), Buffer.alloc(8), [])).rejects.toMatchObject({
      code: "ERR_IO", message: expect.stringMatching(/cannot create: No such file or directory; check the path/) });
  });

  test("copyFrom copies, and refuses another shape", async () => {
    const copy = makeModel(smallConfig, device);
    await copy.copyFrom(model);
    expect(allValues(copy)).toEqual(allValues(model));
    await copy.copyFrom(copy);
    const other = makeModel({ ...smallConfig, attentionBias: false }, device);
    await expect(other.copyFrom(model)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    await expect(other.copyFrom({} as NativeModel)).rejects.toThrow(/other is an object, expected a Model/);
    other.dispose();
    copy.dispose();
  });

  test("initialize follows its seed and its rules", async () => {
    const fresh = makeModel({ ...smallConfig, vocabSize: 5000 }, device);
    await fresh.initialize(3, 0.02);
    /** How many standard errors of a standard deviation the one found is off. */
    const deviation = (name: string, std: number): number => {
      const weights = values(fresh, name);
      const found = Math.sqrt(weights.reduce((sum, x) => sum + x * x, 0) / weights.length);
      return Math.abs(found - std) / (std / Math.sqrt(2 * weights.length));
    };
    expect(deviation(embedding, 0.02)).toBeLessThan(4);
    expect(deviation("model.layers.1.mlp.down_proj.weight", 0.02 / Math.sqrt(2 * 2))).toBeLessThan(4);
    expect([...values(fresh, norm)]).toEqual(new Array(32).fill(1));
    expect([...values(fresh, "model.layers.0.self_attn.qkv_proj.bias")]).toEqual(new Array(64).fill(0));
    const first = [...values(fresh, embedding)];
    await fresh.initialize(4, 0.02);
    expect([...values(fresh, embedding)]).not.toEqual(first);
    await fresh.initialize(3, 0.02);
    expect([...values(fresh, embedding)]).toEqual(first);
    await expect(fresh.initialize(-1, 0.02)).rejects.toThrow(/seed is -1/);
    await expect(fresh.initialize(1, NaN)).rejects.toThrow(/std is nan/);
    fresh.dispose();
  });

  const kinds = [
    ["float32", { dtype: "float32" }, 4], ["bfloat16 with masters", { dtype: "bfloat16" }, 4],
    ["bfloat16 alone", { dtype: "bfloat16", masters: false }, 2],
  ] as const;

  describe.each(kinds)("training state of %s", (name, setup, bytes) => {
    const step = async (trainer: TestTrainer, number: number): Promise<void> => {
      await trainer.native.sftStep(trainer.fill((writer) => writer.example([1, 2], [3, 4 + number, 2], 0.3, false)));
      await trainer.native.update(adamW(number, 1e-2));
    };

    test("resumes bit for bit", async () => {
      const path = place(`state-${device}-${name}.bin`);
      const straight = await randomModel(device, setup);
      const trainer = new TestTrainer(straight);
      for (const number of [1, 2]) await step(trainer, number);
      await trainer.native.writeState(path, Buffer.from("header"));
      for (const number of [3, 4]) await step(trainer, number);
      const resumed = await randomModel(device, setup);
      const second = new TestTrainer(resumed);
      await step(second, 1);
      await second.native.readState(path, 6);
      for (const number of [3, 4]) await step(second, number);
      expect(allValues(resumed)).toEqual(allValues(straight));
      const { dtype, elements } = trainer.native.stateArenas();
      expect(dtype).toBe(bytes === 2 ? "bfloat16" : "float32");
      expect(readFileSync(path).length).toBe(6 + 3 * bytes * elements);

      const arena = trainer.native.memory().find((row) => row.arena === "optimizer");
      expect(arena?.bytes).toBe(2 * bytes * elements);

      truncateSync(path, 1000);
      await expect(second.native.readState(path, 6)).rejects.toMatchObject({
        code: "ERR_IO", message: expect.stringContaining("the file is damaged or belongs to another model") });
      await expect(second.native.readState(path, 2000)).rejects.toMatchObject({ code: "ERR_IO" });
      for (const object of [trainer, second]) object.dispose();
      for (const object of [straight, resumed]) object.dispose();
    });
  });
});
