/** Maps a list with a bound on how many calls are under way; the first failure stops the rest. */
import { throwIfAborted } from './abort.js';

export async function mapConcurrent<T, R>(
  items: readonly T[],
  concurrencyMax: number,
  map: (item: T, index: number, signal: AbortSignal) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const failed = new AbortController();
  const combined = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const results = new Array<R>(items.length);
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < items.length && !combined.aborted) {
      const index = next++;
      results[index] = await map(items[index], index, combined);
    }
  };
  const runners = Array.from({ length: Math.min(concurrencyMax, items.length) }, run);
  try {
    await Promise.all(runners);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(runners);
    throw error;
  }
  throwIfAborted(signal);
  return results;
}
