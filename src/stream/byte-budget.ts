/**
 * A bound on bytes that are held at once: whoever wants some waits in line until they fit. Windows that are due pass those that are fetched ahead,
 * but only so many of them: each window has the deadline `arrival + windowsAhead × windowsPassedMax`, and the earliest deadline is next (C. L. Liu
 * and J. W. Layland, "Scheduling Algorithms for Multiprogramming in a Hard-Real-Time Environment", 1973). Arrivals only grow, so nothing starves.
 */
import { LIMITS } from '../config/limits.js';
import { abortError, throwIfAborted } from '../core/abort.js';

/** How many windows of its lane and source come before this one; 0: the lane waits for it. Asked again at each turn, since waiting moves a lane on. */
export type WindowsAhead = () => number;

interface Waiter {
  readonly bytes: number;
  /** Counted over all waiters. */
  readonly arrival: number;
  readonly windowsAhead: WindowsAhead;
  readonly admit: () => void;
}

export class ByteBudget {
  readonly #bytesMax: number;
  /** In the order of arrival. */
  readonly #waiters: Waiter[] = [];
  #arrivals = 0;
  #held = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** Runs `work` while `bytes` of the budget are its own. More than the whole budget is let in when nothing else is held, so that it cannot wait for ever. */
  async use<T>(bytes: number, windowsAhead: WindowsAhead, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#acquire(bytes, windowsAhead, signal);
    try {
      return await work();
    } finally {
      this.#held -= bytes;
      this.#admitNext();
    }
  }

  async #acquire(bytes: number, windowsAhead: WindowsAhead, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(abortError(signal));
        this.#admitNext();
      };
      const waiter: Waiter = {
        bytes,
        arrival: this.#arrivals++,
        windowsAhead,
        admit: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
      this.#admitNext();
    });
  }

  #fits(bytes: number): boolean {
    return this.#held === 0 || this.#held + bytes <= this.#bytesMax;
  }

  /** The window that is next never yields to a smaller one that would fit: that could starve it. */
  #admitNext(): void {
    for (let waiter = this.#next(); waiter !== undefined && this.#fits(waiter.bytes); waiter = this.#next()) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      this.#held += waiter.bytes;
      waiter.admit();
    }
  }

  #next(): Waiter | undefined {
    let next: Waiter | undefined;
    let deadlineMin = Infinity;
    for (const waiter of this.#waiters) {
      const deadline = waiter.arrival + waiter.windowsAhead() * LIMITS.windowsPassedMax;
      if (deadline < deadlineMin) [next, deadlineMin] = [waiter, deadline];
    }
    return next;
  }
}
