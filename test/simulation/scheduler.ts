/** Time in the simulation: whatever waits is let go one by one, in an order that a seed decides. No clock, no I/O. */
export class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #state: number;
  #isRunning = false;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Below `end`. Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), in 32 bits. */
  below(end: number): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) % end;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  /** Resolves at some later moment, before or after whatever else waits. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#isRunning) return;
      this.#isRunning = true;
      setImmediate(() => this.#next());
    });
  }

  #next(): void {
    this.#waiting.splice(this.below(this.#waiting.length), 1)[0]();
    // all that follows from it happens before the next one
    if (this.#waiting.length > 0) setImmediate(() => this.#next());
    else this.#isRunning = false;
  }
}
