/** A first-in, first-out queue of bounded length between one producer and any number of consumers: a full queue makes the producer wait. */
import { abortError, throwIfAborted } from './abort.js';

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

export class BoundedQueue<T> {
  readonly #itemsMax: number;
  readonly #items: T[] = [];
  readonly #takers: Waiter<T | undefined>[] = [];
  readonly #putters: Waiter<void>[] = [];
  #ended = false;
  #failure: { readonly reason: unknown } | undefined;

  constructor(itemsMax: number) {
    if (!Number.isInteger(itemsMax) || itemsMax < 1) throw new RangeError(`a queue of ${itemsMax} items`);
    this.#itemsMax = itemsMax;
  }

  get length(): number {
    return this.#items.length;
  }

  /** Resolves once there is room. Rejects with the failure once the queue failed, or with `ABORTED`. */
  async put(item: T, signal?: AbortSignal): Promise<void> {
    while (this.#items.length >= this.#itemsMax && this.#failure === undefined && !this.#ended) {
      await this.#wait(this.#putters, signal);
    }
    throwIfAborted(signal);
    if (this.#failure !== undefined) throw this.#failure.reason;
    if (!this.offer(item)) throw new Error('put into a queue that has ended');
  }

  /** Puts without waiting: false where there is no room, or the queue has ended or failed. */
  offer(item: T): boolean {
    if (this.#ended || this.#failure !== undefined) return false;
    const taker = this.#takers.shift();
    if (taker !== undefined) taker.resolve(item);
    else if (this.#items.length < this.#itemsMax) this.#items.push(item);
    else return false;
    return true;
  }

  /** The oldest item; undefined once the queue has ended and is empty. Items put before a failure are still delivered. */
  async take(signal?: AbortSignal): Promise<T | undefined> {
    throwIfAborted(signal);
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#putters.shift()?.resolve();
      return item;
    }
    if (this.#failure !== undefined) throw this.#failure.reason;
    if (this.#ended) return undefined;
    return this.#wait(this.#takers, signal);
  }

  /** No more items will come. */
  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker.resolve(undefined);
    for (const putter of this.#putters.splice(0)) putter.resolve();
  }

  /** Every later wait rejects with `reason`. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    for (const taker of this.#takers.splice(0)) taker.reject(reason);
    for (const putter of this.#putters.splice(0)) putter.reject(reason);
  }

  #wait<R>(waiters: Waiter<R>[], signal: AbortSignal | undefined): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const onAbort = (): void => {
        const index = waiters.indexOf(waiter);
        if (index >= 0) waiters.splice(index, 1);
        if (signal !== undefined) reject(abortError(signal));
      };
      const done = (): void => signal?.removeEventListener('abort', onAbort);
      const waiter: Waiter<R> = {
        resolve: (value) => {
          done();
          resolve(value);
        },
        reject: (reason) => {
          done();
          reject(reason instanceof Error ? reason : new Error(String(reason)));
        },
      };
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
    });
  }
}
