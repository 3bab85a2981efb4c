// A look at the ids themselves before they are trained on: the faults that ruin a run and never raise an error, such
// as two BOS, a missing EOS, or a completion cut to nothing. Counts them and names the first offenders.
// It does NOT repair: encode.ts and prompt.ts decide what is encoded.
import { fail } from "../errors";
import type { Tokenizer } from "../text/tokenizer";
import type { EncodedPair, EncodedSft } from "./encode";

/** Issues that spoil what is learned, then those worth knowing. */
export const SERIOUS_ISSUES = ["missing_bos", "double_bos", "missing_eos", "inner_eos", "empty_completion"] as const;
export const NOTED_ISSUES = ["boundary_merge", "truncated"] as const;
const ALL_ISSUES = [...SERIOUS_ISSUES, ...NOTED_ISSUES];
export type AuditIssue = (typeof SERIOUS_ISSUES)[number] | (typeof NOTED_ISSUES)[number];

export interface AuditFinding {
  readonly count: number;
  /** Names of the first ten. */
  readonly offenders: readonly string[];
}

export interface AuditReport {
  /** Sequences: an example is one, a pair two. */
  readonly sequences: number;
  readonly tokens: number;
  /** Tokens that are targets. */
  readonly scoredTokens: number;
  /** Share of tokens that are not targets. */
  readonly maskedShare: number;
  readonly truncatedTokens: number;
  readonly longest: number;
  readonly issues: Readonly<Record<AuditIssue, AuditFinding>>;
}

/** One sequence as it will be read. */
interface Sequence {
  readonly promptIds: readonly number[];
  readonly completionIds: readonly number[];
  readonly boundaryMerge: boolean;
  readonly truncatedTokens: number;
  readonly name: string;
}

const OFFENDERS_KEPT = 10;

function countOf(ids: readonly number[], wanted: number): number {
  return ids.reduce((count, id) => count + (id === wanted ? 1 : 0), 0);
}

function issuesOf(tokenizer: Tokenizer, { promptIds, completionIds, ...row }: Sequence): AuditIssue[] {
  const { bosId, eosId, eosIds, addsBos } = tokenizer;
  const isEos = (id: number | undefined) => id !== undefined && eosIds.includes(id);
  const body = isEos(completionIds.at(-1)) ? completionIds.slice(0, -1) : completionIds;
  // Where one token serves as both (GPT-2), the ends of a conversation's turns are no second beginning.
  const begins = bosId === null || bosId === eosId ? 0 : countOf(promptIds, bosId) + countOf(completionIds, bosId);
  const issues: [AuditIssue, boolean][] = [
    ["missing_bos", addsBos && promptIds[0] !== bosId],
    ["double_bos", begins > 1],
    // A completion that was cut, as the policy `truncate` wants, has lost its EOS with the rest: counted as truncated.
    // Also where the vocabulary has none: a student that never learns to end has no finished path.
    ["missing_eos", body === completionIds && row.truncatedTokens === 0],
    ["inner_eos", body.some(isEos)],
    ["empty_completion", body.length === 0],
    ["boundary_merge", row.boundaryMerge],
    ["truncated", row.truncatedTokens > 0],
  ];
  return issues.filter(([, found]) => found).map(([issue]) => issue);
}

function sequencesOf(example: EncodedSft | EncodedPair): Sequence[] {
  if (!("chosenIds" in example)) return [example as Sequence];
  const { chosenIds, rejectedIds, truncatedTokens, rejectedTruncatedTokens: ofRejected, ...rest } = example;
  const ofChosen = truncatedTokens - ofRejected;
  return [
    { ...rest, completionIds: chosenIds, name: `${rest.name} (chosen)`, truncatedTokens: ofChosen },
    { ...rest, completionIds: rejectedIds, name: `${rest.name} (rejected)`, truncatedTokens: ofRejected },
  ];
}

/** Looks at every sequence. Never throws: see `enforceAudit`. */
export function auditExamples(tokenizer: Tokenizer, examples: Iterable<EncodedSft | EncodedPair>): AuditReport {
  const names = Object.fromEntries(
    ALL_ISSUES.map((issue) => [issue, [] as string[]])) as Record<AuditIssue, string[]>;
  let [sequences, tokens, scoredTokens, truncatedTokens, longest] = [0, 0, 0, 0, 0];
  for (const example of examples) {
    for (const sequence of sequencesOf(example)) {
      const length = sequence.promptIds.length + sequence.completionIds.length;
      sequences++;
      tokens += length;
      scoredTokens += sequence.completionIds.length;
      truncatedTokens += sequence.truncatedTokens;
      longest = Math.max(longest, length);
      for (const issue of issuesOf(tokenizer, sequence)) names[issue].push(sequence.name);
    }
  }
  const findings = Object.entries(names).map(([issue, all]) => (
    [issue, { count: all.length, offenders: all.slice(0, OFFENDERS_KEPT) }]));
  return {
    sequences, tokens, scoredTokens, truncatedTokens, longest,
    maskedShare: tokens === 0 ? 0 : 1 - scoredTokens / tokens,
    issues: Object.fromEntries(findings) as Record<AuditIssue, AuditFinding>,
  };
}

/** One line an issue that was found, for people. */
export function auditMessages(report: AuditReport, issues: readonly AuditIssue[] = ALL_ISSUES): string[] {
  return issues.filter((issue) => report.issues[issue].count > 0).map((issue) => {
    const { count, offenders } = report.issues[issue];
    const shown = offenders.slice(0, 3).join(", ");
    return `${issue}: ${count} of ${report.sequences} sequences (${shown}${count > 3 ? ", ..." : ""})`;
  });
}

/**
 * Under `error`, serious issues end the run; all others, and all under `warn`, go to `warn`.
 * @throws ERR_DATA listing the serious issues and the first rows that have them
 */
export function enforceAudit(report: AuditReport, policy: "error" | "warn", warn: (message: string) => void): void {
  const serious = auditMessages(report, SERIOUS_ISSUES);
  auditMessages(report, NOTED_ISSUES).forEach(warn);
  if (policy === "warn") serious.forEach(warn);
  else if (serious.length > 0) {
    fail("ERR_DATA", `the data audit found faults; correct the data, or set the audit policy to warn:\n`
      + serious.map((line) => `  ${line}`).join("\n"), { issues: report.issues });
  }
}
