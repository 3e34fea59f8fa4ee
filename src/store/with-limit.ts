/** Bounds how many requests a store has under way; the others wait in line. */
import { abortError, throwIfAborted } from '../core/abort.js';
import type { Store } from './store.js';

/** Listings are not counted: they are few, and they wait for their consumer. */
export function withLimit(store: Store, concurrencyMax: number): Store {
  const waiting: (() => void)[] = [];
  let running = 0;

  const enter = async (signal: AbortSignal | undefined): Promise<void> => {
    throwIfAborted(signal);
    if (running < concurrencyMax) {
      running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        waiting.splice(waiting.indexOf(admit), 1);
        if (signal !== undefined) reject(abortError(signal));
      };
      // whoever leaves hands its place over, so `running` stays as it is
      const admit = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      waiting.push(admit);
    });
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  };
  const limited = async <T>(request: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> => {
    await enter(signal);
    try {
      return await request();
    } finally {
      leave();
    }
  };
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => limited(() => store.head(path, options), options?.signal),
    read: (path, range, options) => limited(() => store.read(path, range, options), options?.signal),
    close: () => store.close(),
  };
}
