// What a file of teacher answers holds, whatever its shape: a question's text, one chain, who wrote it.
// It does NOT know which questions are wanted, nor whether a chain is right.

export interface TeacherAnswer {
  /** The question's text as the file has it. */
  question: string;
  output: string;
  teacher: string;
  /** The file's own instruction and input, kept where no question of a task is matched. */
  instruction?: string;
  input?: string;
  /** Gold answer in the file's spelling, where it has one. */
  gold?: string;
  /** The options' texts, where the file has them: questions with one stem and other options are others. */
  choices?: readonly string[];
  /**
   * The row's number in its set, where ids or order tell it: settles which of two equal questions is meant.
   */
  key?: number;
  /** The chain only reasons; the gold answer is to be stated behind it (human rationales). */
  unstated?: boolean;
  /** "path:12", for messages. */
  where: string;
}
