import { describe, expect, it } from 'vitest';
import { rawInt32, releaseBuffer } from '../../src/core/raw-memory.js';
import { releaseOfChunk, type SequenceChunk } from '../../src/core/sequence.js';

/** Node ≥ 22. */
const FREES_AT_ONCE = 'transfer' in ArrayBuffer.prototype;

describe('memory whose life is known', () => {
  it('is an array with a buffer of its own', () => {
    const small = rawInt32(3);
    expect([small.length, small.byteOffset, small.buffer.byteLength]).toEqual([3, 0, 12]);
    expect(rawInt32(0).length).toBe(0);
  });

  it('has no element after it was given back, and can be given back again', () => {
    const ids = rawInt32(1000);
    releaseBuffer(ids.buffer);
    releaseBuffer(ids.buffer);
    expect(ids.length).toBe(0);
  });

  it.runIf(FREES_AT_ONCE)('is given back at once', () => {
    const before = process.memoryUsage().arrayBuffers;
    const large = rawInt32(8 * 2 ** 20);
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(31 * 2 ** 20);
    releaseBuffer(large.buffer);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  it('of a chunk is given back with the last of its sequences', () => {
    const chunk: SequenceChunk = {
      count: 3,
      ids: Int32Array.of(1, 2, 3),
      segments: new Int32Array(0),
      segmentBounds: new Int32Array(4),
      ends: new Int32Array(6),
      lossMask: Uint8Array.of(1, 1, 1),
      digests: new Uint8Array(0),
      fields: { count: 1, bytes: Uint8Array.of(4, 5, 6), bounds: Float64Array.of(0, 1, 2, 3) },
    };
    const release = releaseOfChunk(chunk);
    release();
    release();
    expect([chunk.ids.length, chunk.lossMask?.length, chunk.fields?.bytes.length]).toEqual([3, 3, 3]);
    release();
    expect([chunk.ids.length, chunk.lossMask?.length, chunk.fields?.bytes.length]).toEqual([0, 0, 0]);
  });
});
