// When two completions count as one: equal but for case and spacing, or sharing too many of their tokens.
// Operators are tokens: "9 + 3" and "9 - 3" are different chains. It does NOT know which of two is better.

/** Lower case, single spaces. */
export function plainText(text: string): string {
  return text.toLowerCase().replace(/\s+/g, " ").trim();
}

/** Words, numbers and single marks. */
export function tokensOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
}

/** Size of the intersection of the token sets over that of their union; 1 for two empty texts. */
export function jaccard(a: string, b: string): number {
  const [left, right] = [new Set(tokensOf(a)), new Set(tokensOf(b))];
  let shared = 0;
  for (const token of left) shared += Number(right.has(token));
  const union = left.size + right.size - shared;
  return union === 0 ? 1 : shared / union;
}

/** The first of each class of duplicates, in order. */
export function distinct<T>(items: readonly T[], textOf: (item: T) => string, maxSimilarity = 1): T[] {
  const kept: T[] = [];
  const texts = new Set<string>();
  for (const item of items) {
    const text = plainText(textOf(item));
    if (texts.has(text)) continue;
    if (maxSimilarity < 1 && kept.some((other) => jaccard(text, textOf(other)) > maxSimilarity)) continue;
    texts.add(text);
    kept.push(item);
  }
  return kept;
}
