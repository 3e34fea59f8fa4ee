/** A bound on bytes that are held at once: whoever wants some waits in line until they fit. */
import { abortError, throwIfAborted } from '../core/abort.js';

interface Waiter {
  readonly bytes: number;
  readonly admit: () => void;
}

export class ByteBudget {
  readonly #bytesMax: number;
  readonly #waiters: Waiter[] = [];
  #held = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** Runs `work` while `bytes` of the budget are its own. More than the whole budget is let in when nothing else is held, so that it cannot wait for ever. */
  async use<T>(bytes: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#acquire(bytes, signal);
    try {
      return await work();
    } finally {
      this.#held -= bytes;
      this.#admitNext();
    }
  }

  async #acquire(bytes: number, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    if (this.#waiters.length === 0 && this.#fits(bytes)) {
      this.#held += bytes;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(abortError(signal));
        this.#admitNext();
      };
      const waiter: Waiter = {
        bytes,
        admit: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  #fits(bytes: number): boolean {
    return this.#held === 0 || this.#held + bytes <= this.#bytesMax;
  }

  #admitNext(): void {
    for (let waiter = this.#waiters.at(0); waiter !== undefined && this.#fits(waiter.bytes); waiter = this.#waiters.at(0)) {
      this.#waiters.shift();
      this.#held += waiter.bytes;
      waiter.admit();
    }
  }
}
