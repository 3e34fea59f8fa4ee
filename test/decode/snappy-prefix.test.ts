import fc from 'fast-check';
import { snappyUncompress } from 'hyparquet/src/snappy.js';
import { snappyCompress } from 'hyparquet-writer/src/snappy.js';
import { describe, expect, it } from 'vitest';
import { snappyPrefix } from '../../src/decode/parquet/snappy-prefix.js';

const compressed = (bytes: Uint8Array): Uint8Array => Uint8Array.from(snappyCompress(bytes));

describe('snappyPrefix', () => {
  it('gives the first bytes that were compressed, for any wish', () => {
    // few different values: literals and copies of every kind
    const data = fc.array(fc.nat({ max: 3 }), { maxLength: 5000 }).map((values) => Uint8Array.from(values));
    fc.assert(
      fc.property(data, fc.nat({ max: 6000 }), (bytes, wanted) => {
        const block = compressed(bytes);
        const whole = new Uint8Array(bytes.length);
        if (bytes.length > 0) snappyUncompress(block, whole);
        expect(whole).toEqual(bytes);
        const prefix = snappyPrefix(block, wanted);
        expect(prefix.length).toBeGreaterThanOrEqual(Math.min(wanted, bytes.length));
        expect(prefix).toEqual(bytes.subarray(0, prefix.length));
      }),
    );
  });

  it('reads or refuses damaged blocks, and does nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 300 }), (block, wanted) => {
        try {
          expect(snappyPrefix(block, wanted).length).toBeLessThanOrEqual(wanted + 64);
        } catch (error) {
          expect((error as Error).message).toMatch(/Snappy/);
        }
      }),
    );
  });
});
