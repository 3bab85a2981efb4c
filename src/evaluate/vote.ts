// Self-consistency (Wang et al. 2023): the answer most of a question's samples agree on.
// It does NOT draw samples.

import type { Prediction, Question } from "../data/records";
import { majority } from "../refine/reward";
import type { Task } from "../tasks/task";

/** One completion among several of a question, with its extracted answer. */
export interface Vote {
  answer: string | null;
  prompt: string;
  completion: string;
}

export interface VotedAnswer {
  answer: string | null;
  /** Of the readable ones. */
  votes: number;
  readable: number;
  samples: number;
}

/** Unreadable samples do not vote; of equally frequent answers the one drawn first wins. */
export function majorityVote(task: Task, votes: readonly Pick<Vote, "answer">[]): VotedAnswer {
  const answers = votes.flatMap((vote) => (vote.answer === null ? [] : [vote.answer]));
  const answer = majority(answers, task.equal);
  const agreeing = answer === null ? 0 : answers.filter((one) => task.equal(one, answer)).length;
  return { answer, votes: agreeing, readable: answers.length, samples: votes.length };
}

/** The vote as a prediction; its completion is the first sample that agrees. */
export function votedPrediction(
  task: Task, question: Question, domain: Prediction["domain"], votes: readonly Vote[],
): Prediction {
  const { answer } = majorityVote(task, votes);
  const spokesman = votes.find((vote) => answer !== null && vote.answer !== null && task.equal(vote.answer, answer));
  return {
    id: question.id, task: task.name, domain,
    prompt: (spokesman ?? votes[0])?.prompt ?? "",
    completion: (spokesman ?? votes[0])?.completion ?? "",
    answer, gold: question.gold,
    correct: answer !== null && task.equal(answer, question.gold),
  };
}
