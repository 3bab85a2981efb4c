// Closed lists of names that options and records share. It does NOT say what they mean: see records.ts and refine/.

export const PAIR_POLICIES = ["paper_cot", "answer_only", "correctness", "mixed"] as const;
export const TARGET_SOURCES = ["teacher", "gold"] as const;
