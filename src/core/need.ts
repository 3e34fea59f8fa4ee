/** When bytes are needed, as the plan says it: what the cache makes room by. Nothing that is delivered depends on it. */

/** On a clock of the run's plan, in epochs of the source that takes longest; only its order says something. */
export interface Need {
  /** This reading. */
  readonly at: number;
  /** The next reading after it; `Infinity`: none is planned. */
  readonly next: number;
}
