import { describe, expect, it } from 'vitest';
import { releaseRowMemory, rowMemory } from '../../src/decode/parquet/row-memory.js';

const MIB = 2 ** 20;
/** Whether memory is what was released before says what is in it. */
const mark = (buffer: ArrayBuffer, value: number): void => void (new Uint8Array(buffer)[buffer.byteLength - 1] = value);
const markOf = (buffer: ArrayBuffer): number => new Uint8Array(buffer)[buffer.byteLength - 1];

describe('the memory of rows', () => {
  it('is used again for what fits in it, and shows nothing to those who had it before', () => {
    const first = rowMemory(MIB);
    const view = new Uint8Array(first);
    mark(first, 77);
    releaseRowMemory(first);
    expect([view.length, first.byteLength]).toEqual([0, 0]);
    releaseRowMemory(first);
    const again = rowMemory(MIB - 100);
    expect([again.byteLength, markOf(again)]).toEqual([MIB, 77]);
    releaseRowMemory(again);
    // for what is much smaller it would be wasted
    expect(rowMemory(MIB / 4).byteLength).toBe(MIB / 4);
    expect(rowMemory(MIB + 1).byteLength).toBe(MIB + 1);
    expect(markOf(rowMemory(MIB))).toBe(77);
  });

  it('waits in eight pieces, of 32 MiB together: the oldest is given back first', () => {
    const pieces = Array.from({ length: 9 }, () => rowMemory(3 * MIB));
    for (const [i, piece] of pieces.entries()) mark(piece, i + 1);
    for (const piece of pieces) releaseRowMemory(piece);
    const taken = Array.from({ length: 8 }, () => rowMemory(3 * MIB));
    expect(taken.map(markOf)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    for (const piece of taken) releaseRowMemory(piece);
    const large = rowMemory(20 * MIB);
    mark(large, 99);
    releaseRowMemory(large);
    // 8 × 3 + 20 are too many: the first four of the eight made room
    expect(Array.from({ length: 4 }, () => markOf(rowMemory(3 * MIB)))).toEqual([6, 7, 8, 9]);
    expect(markOf(rowMemory(20 * MIB))).toBe(99);
    const huge = rowMemory(40 * MIB);
    mark(huge, 11);
    releaseRowMemory(huge);
    expect(huge.byteLength).toBe(0);
  });
});
