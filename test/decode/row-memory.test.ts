import { describe, expect, it } from 'vitest';
import { releaseRowMemory, rowMemory } from '../../src/decode/parquet/row-memory.js';

const MIB = 2 ** 20;
/** Whether memory is what was released before says what is in it. */
const mark = (buffer: ArrayBuffer, value: number): void => void (new Uint8Array(buffer)[buffer.byteLength - 1] = value);
const markOf = (buffer: ArrayBuffer): number => new Uint8Array(buffer)[buffer.byteLength - 1];

describe('the memory of rows', () => {
  it('is used again for what fits in it, and shows nothing to those who had it before', () => {
    // so that rows had more once, and what waits is not given back at once
    const others = rowMemory(8 * MIB);
    const first = rowMemory(MIB);
    releaseRowMemory(others);
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

  it('waits as long as rows have no more than they once had together: the oldest is given back first', () => {
    const pieces = Array.from({ length: 9 }, () => rowMemory(3 * MIB));
    for (const [i, piece] of pieces.entries()) mark(piece, i + 1);
    for (const piece of pieces) releaseRowMemory(piece);
    const taken = Array.from({ length: 9 }, () => rowMemory(3 * MIB));
    expect(taken.map(markOf)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const piece of taken) releaseRowMemory(piece);
    const large = rowMemory(8 * MIB);
    mark(large, 99);
    // 9 × 3 MiB waited, and what fits in 8 MiB made room; the large one is none of them
    const rest = Array.from({ length: 6 }, () => rowMemory(3 * MIB));
    expect(rest.map(markOf)).toEqual([4, 5, 6, 7, 8, 9]);
    releaseRowMemory(large);
    for (const piece of rest) releaseRowMemory(piece);
    expect(large.byteLength).toBe(0);
    expect(markOf(rowMemory(8 * MIB))).toBe(99);
    // … and not what a huge document had
    const huge = rowMemory(200 * MIB);
    mark(huge, 11);
    const small = rowMemory(MIB);
    mark(small, 55);
    releaseRowMemory(huge);
    releaseRowMemory(small);
    expect(markOf(rowMemory(MIB))).toBe(55);
    expect(markOf(rowMemory(200 * MIB))).not.toBe(11);
  });
});
