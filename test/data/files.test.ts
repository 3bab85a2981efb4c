// Atomic writing, reading with a place in every error, JSON and hashes that do not depend on the order of keys.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import {
  atomicDirectory, hashJson, ioError, makeDirectory, readJson, readText, recoverSwap, sha256, sha256File, stableJson,
  writeFileAtomic,
} from "../../src/files";
import { takeLock } from "../../src/lock";
import { makerOf, ownMark } from "../../src/processes";

const directory = mkdtempSync(join(tmpdir(), "selfrefine-files-"));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (...names: string[]) => join(directory, ...names);

describe("writeFileAtomic", () => {
  test("writes, replaces, makes parent directories and leaves no temporary", async () => {
    await writeFileAtomic(at("a", "b.txt"), "one");
    await writeFileAtomic(at("a", "b.txt"), new Uint8Array([0x74, 0x77, 0x6f]));
    expect(readFileSync(at("a", "b.txt"), "utf8")).toBe("two");
    expect(readdirSync(at("a"))).toEqual(["b.txt"]);
  });

  test("a source that fails half way leaves the old content and no temporary", async () => {
    await writeFileAtomic(at("kept.txt"), "old");
    const source = (function* () {
      yield "new, but ";
      throw new Error("boom");
    })();
    await expect(writeFileAtomic(at("kept.txt"), source)).rejects.toThrow(/^boom$/);
    expect(readFileSync(at("kept.txt"), "utf8")).toBe("old");
    expect(readdirSync(directory).filter((name) => name.includes("tmp-"))).toEqual([]);
  });

  test("an impossible path is named", async () => {
    writeFileSync(at("file"), "");
    await expect(writeFileAtomic(at("file", "x"), "")).rejects.toThrow(/cannot write .*file\/x: .*(file|directory)/);
  });
});

test("a full disk names the file and the remedy", () => {
  const error = ioError(Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" }), "write", "out/model");
  expect(error.code).toBe("ERR_IO");
  expect(error.message).toBe(
    "cannot write out/model: the disk is full: free some space or choose a directory on another disk");
});

describe("a directory that a killed process had set aside", () => {
  const gone = spawnSync(process.execPath, ["-e", "0"]).pid;
  const aside = (name: string, pid: number) => {
    mkdirSync(at(`.${name}.tmp-${pid}-0123abcd.old`));
    writeFileSync(at(`.${name}.tmp-${pid}-0123abcd.old`, "x"), "old");
  };

  test("comes back before the name is looked at", async () => {
    aside("swapped", gone);
    await expect(atomicDirectory(at("swapped"), async () => undefined)).rejects.toThrow(/it exists already/);
    expect(readFileSync(at("swapped", "x"), "utf8")).toBe("old");
    expect(readdirSync(directory).filter((name) => name.includes("swapped"))).toEqual(["swapped"]);
  });

  test("stays where it is while its process lives, which is said; and when the name is taken", async () => {
    aside("busy", process.ppid);
    aside("taken", gone);
    mkdirSync(at("taken"));
    await expect(recoverSwap(at("busy"))).rejects.toMatchObject({
      code: "ERR_BUSY", message: expect.stringMatching(/busy: process \d+ is replacing it; .* rename .*\.old to busy/),
    });
    await recoverSwap(at("taken"));
    expect(readdirSync(directory)).not.toContain("busy");
    expect(readdirSync(at("taken"))).toEqual([]);
    for (const name of readdirSync(directory).filter((entry) => entry.startsWith("."))) rmSync(at(name), { recursive: true });
  });
});

test("what killed processes left of a directory goes with the next writing of it, and nothing else", async () => {
  const gone = spawnSync(process.execPath, ["-e", "0"]).pid;
  const name = (of: string, pid: number, end = "") => `.${of}.tmp-${pid}.0123abcd.0-0123abcd${end}`;
  const ours = [name("swept", gone), name("swept", gone, ".old")];
  const others = [`.swept.tmp-${process.ppid}-0123abcd`, name("swept2", gone), ".swept.tmp"];
  for (const one of [...ours, ...others, "swept"]) mkdirSync(at(one));
  await atomicDirectory(at("swept"), async () => undefined, { replace: true });
  const left = readdirSync(directory).filter((entry) => entry.includes("swept"));
  expect(left.sort()).toEqual([...others, "swept"].sort());
  for (const one of left) rmSync(at(one), { recursive: true });
});

describe("makeDirectory", () => {
  const linux = process.platform === "linux" ? test : test.skip;

  test("makes what is missing, twice or at once, and names what a file stands in the way of", async () => {
    await Promise.all([1, 2, 3].map(() => makeDirectory(at("made", "by", "level"))));
    await makeDirectory(at("made", "by", "level"));
    expect(readdirSync(at("made", "by"))).toEqual(["level"]);
    writeFileSync(at("made", "file"), "");
    for (const name of ["file", join("file", "below")]) {
      await expect(makeDirectory(at("made", name))).rejects.toMatchObject({
        code: "ERR_IO", message: expect.stringContaining(`cannot make ${at("made", name)}: a `),
      });
    }
  });

  linux("ends where a file system makes no directories and does not say so", async () => {
    const wanted = { code: "ERR_IO", message: expect.stringMatching(/cannot (make|write) .*: no directory can be made in \/proc; /) };
    await expect(makeDirectory("/proc/selfrefine")).rejects.toMatchObject(wanted);
    await expect(writeFileAtomic("/proc/selfrefine/a/b.json", "")).rejects.toMatchObject(wanted);
    await expect(atomicDirectory("/proc/selfrefine/a", async () => undefined)).rejects.toMatchObject(wanted);
  });
});

describe("marks of makers", () => {
  const linux = process.platform === "linux" ? test : test.skip;

  test("a thread knows its own, another thread's, and that of a process that is gone", () => {
    const gone = spawnSync(process.execPath, ["-e", "0"]).pid;
    expect(makerOf(ownMark())).toEqual({ is: "self", pid: process.pid });
    expect(makerOf(ownMark().replace(/\d+$/, "77")).is).toBe("thread");
    expect(makerOf(`${process.ppid}`).is).toBe("running");
    expect([makerOf(`${gone}.0123abcd.0`).is, makerOf("").is, makerOf("no mark").is]).toEqual(["gone", "gone", "gone"]);
  });

  linux("a process that got the id of one that is gone is not taken for it", async () => {
    expect(makerOf(`${process.ppid}.0123abcd.0`).is).toBe("gone");
    expect(makerOf(`${process.pid}.0123abcd.0`).is).toBe("gone");
    const lock = at("reused.lock");
    writeFileSync(lock, `${process.ppid}.0123abcd.0`);
    const unlock = await takeLock(lock, "testing");
    expect(readFileSync(lock, "utf8")).toBe(ownMark());
    await unlock();
    const name = `.reused.tmp-${process.ppid}.0123abcd.0-0123abcd.old`;
    mkdirSync(at(name));
    await recoverSwap(at("reused"));
    expect(readdirSync(directory).filter((entry) => entry.includes("reused"))).toEqual(["reused"]);
  });

  test("a lock is refused to a second taker of this thread and to other threads, and left to who holds it", async () => {
    const lock = at("held.lock");
    const unlock = await takeLock(lock, "testing");
    await expect(takeLock(lock, "testing")).rejects.toMatchObject({ code: "ERR_BUSY" });
    await unlock();
    for (const [mark, message] of [
      [ownMark().replace(/\d+$/, "77"), /another thread of this process is testing/],
      [`${process.ppid}`, /process \d+ is testing/],
    ] as const) {
      writeFileSync(lock, mark);
      await expect(takeLock(lock, "testing")).rejects.toThrow(message);
      expect(readFileSync(lock, "utf8")).toBe(mark);
    }
    expect(readdirSync(directory).filter((entry) => entry.startsWith("held"))).toEqual(["held.lock"]);
  });
});

describe("atomicDirectory", () => {
  test("appears whole, is not replaced unless asked, and then is replaced whole", async () => {
    const fill = (text: string) => async (temporary: string) => {
      expect(readdirSync(directory)).not.toContain(text);
      writeFileSync(join(temporary, "x"), text);
      return text.length;
    };
    expect(await atomicDirectory(at("run"), fill("first"))).toBe(5);
    await expect(atomicDirectory(at("run"), fill("second"))).rejects.toThrow(/run: it exists already/);
    expect(readFileSync(at("run", "x"), "utf8")).toBe("first");
    await atomicDirectory(at("run"), fill("second"), { replace: true });
    expect(readFileSync(at("run", "x"), "utf8")).toBe("second");
    expect(readdirSync(directory).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("a failing fill leaves nothing and its error passes through", async () => {
    const failing = atomicDirectory(at("never"), async (temporary) => {
      writeFileSync(join(temporary, "half"), "x");
      throw new RangeError("mine");
    });
    await expect(failing).rejects.toThrow("mine");
    expect(readdirSync(directory).filter((name) => name.includes("never"))).toEqual([]);
  });
});

describe("reading", () => {
  test("drops a byte order mark, names a wrong file", async () => {
    writeFileSync(at("bom.json"), "\ufeff{\"a\":1}");
    expect(await readJson(at("bom.json"))).toEqual({ a: 1 });
    writeFileSync(at("bad.json"), "{\"a\":");
    await expect(readJson(at("bad.json"))).rejects.toThrow(/bad\.json: not valid JSON/);
    writeFileSync(at("latin.txt"), new Uint8Array([0x66, 0xfc, 0x72]));
    await expect(readText(at("latin.txt"))).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(readText(at("bom.json"), 3)).rejects.toThrow(/at most 3/);
    await expect(readText(at("absent"))).rejects.toThrow(/cannot read .*absent: no such file/);
  });
});

describe("stable JSON and hashes", () => {
  test("the order of keys does not matter, the order of items does", () => {
    expect(stableJson({ b: 1, a: { d: [1, 2], c: null } })).toBe("{\"a\":{\"c\":null,\"d\":[1,2]},\"b\":1}");
    expect(hashJson({ x: 1, y: 2 })).toBe(hashJson({ y: 2, x: 1 }));
    expect(hashJson([1, 2])).not.toBe(hashJson([2, 1]));
    for (const value of [[], [undefined, null, "a", { c: [1], b: 2 }], [[1], [2, [3]]], "text", null, [new Array(2)]]) {
      expect(hashJson(value)).toBe(sha256(stableJson(value)));
    }
    expect(() => hashJson([0, { a: Infinity }])).toThrow(/\[1\]\.a is Infinity/);
    expect(stableJson(JSON.parse("{\"__proto__\":1}"))).toBe("{\"__proto__\":1}");
  });

  test("a number JSON cannot hold is an error that names where", () => {
    expect(() => stableJson({ a: [0, Number.NaN] })).toThrow(/\.a\[1\] is NaN/);
  });

  test("SHA-256 of the standard's test vector, from memory and from a file", async () => {
    const expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(sha256("abc")).toBe(expected);
    writeFileSync(at("abc"), "abc");
    expect(await sha256File(at("abc"))).toBe(expected);
  });

  test("a list whose text no string could hold has a hash", () => {
    const list = new Array<string>(65).fill("x".repeat(1 << 23)); // 520 MiB of JSON; a string of V8 holds 512
    expect(hashJson(list)).toBe("b8f4dde4f72472a6aac71a7834f458b65b81521f4c78405d18d8d02ce518a413");
  });
});
