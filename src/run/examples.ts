// A few questions with what each model made of them, chosen by rule and not by taste: of every task the first
// that was gained, the first that was lost, the first that stayed right and the first that stayed wrong. It
// does NOT show them.
import type { Prediction } from "../data/records";
import type { ModelPredictions } from "../evaluate/matrix";
import type { EvaluationSet } from "./questions";
import type { Example } from "./summary";

const OUTCOMES = [
  [false, true],
  [true, false],
  [true, true],
  [false, false],
] as const;

export function chooseExamples(
  sets: readonly EvaluationSet[],
  models: readonly ModelPredictions[],
  before: string,
  after: string,
): Example[] {
  const byModel = new Map(
    models.map(({ model, predictions }) => [
      model,
      new Map(predictions.map((one) => [`${one.task} ${one.id}`, one])),
    ]),
  );
  const of = (model: string, task: string, id: string): Prediction | undefined =>
    byModel.get(model)?.get(`${task} ${id}`);
  return sets.flatMap((set) =>
    OUTCOMES.flatMap(([was, is]): Example[] => {
      const name = set.task.name;
      const question = set.questions.find(
        ({ id }) => of(before, name, id)?.correct === was && of(after, name, id)?.correct === is,
      );
      if (question === undefined) return [];
      const answers = models.flatMap(({ model }) => {
        const one = of(model, name, question.id);
        return one ? [{ model, completion: one.completion, answer: one.answer, correct: one.correct }] : [];
      });
      return [
        {
          task: name,
          domain: set.domain,
          id: question.id,
          question: set.task.input(question),
          gold: question.gold,
          answers,
        },
      ];
    }),
  );
}
