import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { abortError, throwIfAborted, untilAborted, withAnySignal } from '../../src/core/abort.js';
import { HeadraceError } from '../../src/core/errors.js';

const forEver = new Promise<never>(() => undefined);

describe('withAnySignal', () => {
  it.each([0, 1])('aborts its work with the reason of the first signal that aborts (%i)', async (which) => {
    const sources = [new AbortController(), new AbortController()];
    const working = withAnySignal([sources[0].signal, undefined, sources[1].signal], (signal) => untilAborted(forEver, signal));
    const reason = new HeadraceError('TIMEOUT', 'too late');
    sources[which].abort(reason);
    sources[1 - which].abort();
    await expect(working).rejects.toBe(reason);
  });

  it('begins aborted where a signal is', async () => {
    const working = withAnySignal([AbortSignal.abort()], (signal) => {
      throwIfAborted(signal);
      return forEver;
    });
    await expect(working).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('leaves no listener behind, whether its work succeeds or fails', async () => {
    const { signal } = new AbortController();
    expect(await withAnySignal([signal], () => Promise.resolve(1))).toBe(1);
    await expect(withAnySignal([signal], () => Promise.reject(abortError(signal)))).rejects.toThrow();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});
