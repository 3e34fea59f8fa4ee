import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/store/memory.js';
import { storeError } from '../../src/store/store-error.js';
import type { ReadOptions, Store } from '../../src/store/store.js';
import { partsOf, withParts } from '../../src/store/with-parts.js';

const object = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const options = { partBytesMax: 1000, partsAtOnceMax: 3 };

/** Remembers what it is asked for, and fills `into` itself or not. */
function recording(fills: boolean): Store & { readonly asked: (readonly [number, number, ReadOptions])[] } {
  const store = memoryStore('memory://x/', { a: object });
  const asked: (readonly [number, number, ReadOptions])[] = [];
  return {
    ...store,
    asked,
    read: async (path, range, readOptions = {}) => {
      asked.push([range.startByte, range.endByte, readOptions]);
      const bytes = await store.read(path, range, readOptions);
      if (!fills || readOptions.into === undefined) return bytes;
      readOptions.into.set(bytes);
      return readOptions.into;
    },
  };
}

describe('withParts', () => {
  it('cuts a range into equal parts, each more than half as long as the longest allowed', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1001, max: 50_000 }), (startByte, length) => {
        const parts = partsOf({ startByte, endByte: startByte + length }, 1000);
        expect(parts[0].startByte).toBe(startByte);
        expect(parts.at(-1)?.endByte).toBe(startByte + length);
        for (const [i, part] of parts.entries()) {
          if (i > 0) expect(part.startByte).toBe(parts[i - 1].endByte);
          expect(part.endByte - part.startByte).toBeLessThanOrEqual(1000);
          expect(part.endByte - part.startByte).toBeGreaterThanOrEqual(500);
        }
      }),
    );
  });

  it.each([true, false])(
    'reads a long range in parts of one version into one array (parts that are written in place: %s)',
    async (fills) => {
      const store = recording(fills);
      const bytes = await withParts(store, options).read('a', { startByte: 17, endByte: 4500 });
      expect(bytes).toEqual(object.slice(17, 4500));
      expect(bytes.buffer.byteLength).toBe(4483);
      expect(store.asked).toHaveLength(5);
      const { etag } = await store.head('a');
      expect(store.asked.every(([, , { ifMatch }]) => ifMatch === etag)).toBe(true);
    },
  );

  it('asks once for a range that is short enough', async () => {
    const store = recording(true);
    await withParts(store, options).read('a', { startByte: 0, endByte: 1000 });
    expect(store.asked).toHaveLength(1);
  });

  it('ends the other parts when one fails, and begins no more', async () => {
    const signals: AbortSignal[] = [];
    const store: Store = {
      ...memoryStore('memory://x/', { a: object }),
      read: (_path, { startByte }, { signal } = {}) =>
        new Promise((_resolve, reject) => {
          signals.push(signal!);
          signal!.addEventListener('abort', () => reject(signal!.reason as Error), { once: true });
          if (startByte > 1500) reject(storeError('STORE_DENIED', 'denied', {}));
        }),
    };
    await expect(withParts(store, options).read('a', { startByte: 0, endByte: 9000 })).rejects.toMatchObject({ code: 'STORE_DENIED' });
    expect(signals).toHaveLength(3);
    expect(signals.every((signal) => signal.aborted)).toBe(true);
  });

  it('names a range that no memory can hold', async () => {
    const read = withParts(recording(true), options).read('a', { startByte: 0, endByte: 2 ** 52 }, { ifMatch: 'v1' });
    await expect(read).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: expect.stringContaining('more than this process can hold'),
    });
  });
});
