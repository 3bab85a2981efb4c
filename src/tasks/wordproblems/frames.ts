// The stories: for each frame, how it opens, what can happen and what is asked. Short plain sentences with
// few different words, so that a small vocabulary covers them all. It does NOT know numbers' meaning or
// splits.

import type { KeyedRandom } from "../random";
import type { FrameName } from "./options";

/** What a story keeps from sentence to sentence. */
export interface Scene {
  /** Subject with capital: "Mia", "A shop". Later mentions: pronoun or "the shop". */
  name: string;
  other: string;
  she: string;
  her: string;
  things: string;
}

export interface Frame {
  scene(random: KeyedRandom): Scene;
  plain(s: Scene, count: number): string;
  product(s: Scene, groups: number, each: number): string;
  sum(s: Scene, first: number, second: number): string;
  /** A beginning without its number, for reversed questions. */
  unknown(s: Scene): string;
  add: readonly ((s: Scene, count: number) => string)[];
  subtract: readonly ((s: Scene, count: number) => string)[];
  asked(s: Scene): string;
  sell(s: Scene, price: number): string;
  share(s: Scene, parts: number): string;
  /** The told end and the asked beginning of a reversed question. */
  reversed(s: Scene, count: number): string;
}

const GIRLS = ["Mia", "Ana", "Zoe", "Eva"] as const;
const BOYS = ["Tom", "Ben", "Sam", "Leo"] as const;
const THINGS = ["apples", "books", "coins", "cards", "shells", "pens", "stamps", "balls"] as const;

function person(random: KeyedRandom): Scene {
  const girl = random.below(2) === 0;
  const name = random.pick(girl ? GIRLS : BOYS);
  const other = random.pick([...GIRLS, ...BOYS].filter((one) => one !== name));
  return { name, other, she: girl ? "She" : "He", her: girl ? "her" : "him", things: random.pick(THINGS) };
}

const things: Frame = {
  scene: person,
  plain: (s, count) => `${s.name} has ${count} ${s.things}.`,
  product: (s, groups, each) => `${s.name} has ${groups} boxes with ${each} ${s.things} each.`,
  sum: (s, first, second) => `${s.name} has ${first} red ${s.things} and ${second} blue ${s.things}.`,
  unknown: (s) => `${s.name} has some ${s.things}.`,
  add: [
    (s, count) => `${s.she} finds ${count} more.`,
    (s, count) => `${s.she} buys ${count} more.`,
    (s, count) => `${s.other} gives ${s.her} ${count} more.`,
  ],
  subtract: [
    (s, count) => `${s.she} loses ${count}.`,
    (s, count) => `${s.she} sells ${count}.`,
    (s, count) => `${s.she} gives ${count} to ${s.other}.`,
  ],
  asked: (s) => `How many ${s.things} does ${s.name} have now?`,
  sell: (s, price) => `${s.she} sells them all for ${price} dollars each. How many dollars does ${s.name} get?`,
  share: (s, parts) => `${s.she} shares them equally among ${parts} friends. How many ${s.things} does each friend get?`,
  reversed: (s, count) => `Now ${s.name} has ${count}. How many ${s.things} did ${s.name} have at first?`,
};

const shop: Frame = {
  scene: (random) => ({
    name: "A shop", other: random.pick([...GIRLS, ...BOYS]), she: "It", her: "it",
    things: random.pick(["cakes", "pies", "rolls", "cookies"]),
  }),
  plain: (s, count) => `A shop has ${count} ${s.things}.`,
  product: (s, groups, each) => `A shop has ${groups} trays with ${each} ${s.things} each.`,
  sum: (s, first, second) => `A shop has ${first} big ${s.things} and ${second} small ${s.things}.`,
  unknown: (s) => `A shop has some ${s.things}.`,
  add: [(s, count) => `${s.she} bakes ${count} more.`, (s, count) => `${s.she} buys ${count} more.`],
  subtract: [(s, count) => `${s.she} sells ${count}.`, (s, count) => `${s.other} buys ${count}.`],
  asked: (s) => `How many ${s.things} does the shop have now?`,
  sell: (s, price) => `${s.she} sells them all for ${price} dollars each. How many dollars does the shop get?`,
  share: (s, parts) => `${s.she} packs them equally into ${parts} boxes. How many ${s.things} are in each box?`,
  reversed: (s, count) => `Now the shop has ${count}. How many ${s.things} did the shop have at first?`,
};

const ride: Frame = {
  scene: (random) => ({
    name: "A ride", other: random.pick([...GIRLS, ...BOYS]), she: "They", her: "them",
    things: random.pick(["bus", "train", "boat"]),
  }),
  plain: (s, count) => `A ${s.things} carries ${count} people.`,
  product: (s, groups, each) => `A ${s.things} has ${groups} rows with ${each} people each.`,
  sum: (s, first, second) => `A ${s.things} carries ${first} men and ${second} women.`,
  unknown: (s) => `A ${s.things} carries some people.`,
  add: [(_, count) => `Then ${count} people get on.`],
  subtract: [(_, count) => `Then ${count} people get off.`],
  asked: (s) => `How many people are on the ${s.things} now?`,
  sell: (_, price) => `Each of them pays ${price} dollars. How many dollars do they pay?`,
  share: (_, parts) => `They form ${parts} equal groups. How many people are in each group?`,
  reversed: (s, count) => `Now ${count} people are on the ${s.things}. How many people were on it at first?`,
};

const farm: Frame = {
  scene: (random) => ({
    name: "A farmer", other: random.pick([...GIRLS, ...BOYS]), she: "The farmer", her: "the farmer",
    things: random.pick(["hens", "goats", "cows", "ducks"]),
  }),
  plain: (s, count) => `A farmer has ${count} ${s.things}.`,
  product: (s, groups, each) => `A farmer has ${groups} barns with ${each} ${s.things} each.`,
  sum: (s, first, second) => `A farmer has ${first} white ${s.things} and ${second} black ${s.things}.`,
  unknown: (s) => `A farmer has some ${s.things}.`,
  add: [(_, count) => `The farmer buys ${count} more.`, (s, count) => `${s.other} brings ${count} more.`],
  subtract: [(_, count) => `The farmer sells ${count}.`, (_, count) => `Then ${count} run away.`],
  asked: (s) => `How many ${s.things} does the farmer have now?`,
  sell: (_, price) => `The farmer sells them all for ${price} dollars each. How many dollars does the farmer get?`,
  share: (s, parts) => `The farmer puts them equally into ${parts} barns. How many ${s.things} are in each barn?`,
  reversed: (s, count) => `Now the farmer has ${count}. How many ${s.things} did the farmer have at first?`,
};

export const FRAMES: Readonly<Record<FrameName, Frame>> = { things, shop, ride, farm };

/** A sentence about someone else's things, whose number does not matter. */
export function distractorSentence(random: KeyedRandom, scene: Scene, count: number): string {
  const unrelated = THINGS.filter((one) => one !== scene.things);
  const stranger = random.pick([...GIRLS, ...BOYS].filter((one) => one !== scene.name && one !== scene.other));
  return `${stranger} has ${count} ${random.pick(unrelated)}.`;
}
