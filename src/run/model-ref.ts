// A model on disk as stages pass it on: where it is and what stands for its bytes. It does NOT load models.

export interface ModelRef {
  /** Key of the stage that made it, or hash of its files. */
  key: string;
  /** Hugging Face directory. */
  directory: string;
  /** Directory of the stage that made it, with its log; absent for a model that was there before. */
  stage?: string;
}
