import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { sideBySide } from '../../src/core/side-by-side.js';

describe('works side by side', () => {
  it('give all results, in their order', async () => {
    expect(await sideBySide([() => delay(5, 'slow'), () => Promise.resolve(2)])).toEqual(['slow', 2]);
  });

  it('end together: the first failure aborts the others, and is told when they have ended', async () => {
    const failure = new Error('first');
    let ended = false;
    const other = async (signal: AbortSignal): Promise<void> => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      expect(signal.reason).toBe(failure);
      await delay(5);
      ended = true;
      throw new Error('because of the first');
    };
    await expect(sideBySide([other, () => Promise.reject(failure)])).rejects.toBe(failure);
    expect(ended).toBe(true);
  });

  it('are aborted from outside', async () => {
    const outside = new AbortController();
    const running = sideBySide([(signal) => delay(60_000, undefined, { signal })], outside.signal);
    outside.abort();
    await expect(running).rejects.toThrow('aborted');
  });
});
