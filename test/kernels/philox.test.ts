// Philox4x32-10 against the known answers that its authors publish with Random123 (kat_vectors).
import { expect, test } from "@jest/globals";
import { ops } from "./support/backends";

const all = 0xffffffff;

test.each([
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  { counter: [all, all, all, all], key: [all, all], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
])("counter $counter key $key", ({ counter, key, words }) => {
  expect(ops.philox(counter, key)).toEqual(words);
});
