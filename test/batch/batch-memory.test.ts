import { describe, expect, it } from 'vitest';
import { BatchMemory } from '../../src/batch/batch-memory.js';
import { buildBatch } from '../../src/batch/batch.js';
import { buffersOfFields } from '../../src/batch/fields.js';
import type { Field } from '../../src/core/fields.js';
import { sequenceDigest } from '../../src/pack/sequence-writer.js';
import { batchDigest } from '../../src/wire/batch-digest.js';

describe('the memory of batches', () => {
  it('is used again for what fits in it, and not for what is much smaller', () => {
    const memory = new BatchMemory({ buffersMax: 4, bytesMax: 1e6 });
    const first = memory.take(1000);
    expect(first.byteLength).toBeGreaterThanOrEqual(1000);
    memory.giveBack(first);
    expect(memory.take(100)).not.toBe(first);
    expect(memory.take(first.byteLength + 1)).not.toBe(first);
    expect(memory.take(first.byteLength)).toBe(first);
    expect(memory.take(1000)).not.toBe(first);
  });

  it('gives the smallest that fits', () => {
    const memory = new BatchMemory({ buffersMax: 4, bytesMax: 1e6 });
    const [small, large] = [memory.take(1000), memory.take(2000)];
    memory.giveBack(small);
    memory.giveBack(large);
    expect(memory.take(900)).toBe(small);
    expect(memory.take(900)).toBe(large);
  });

  it('takes each piece once, and keeps within its bounds', () => {
    const memory = new BatchMemory({ buffersMax: 2, bytesMax: 3000 });
    const [a, b, c] = [memory.take(1000), memory.take(1000), memory.take(1000)];
    memory.giveBack(a);
    memory.giveBack(a);
    expect([memory.take(1000) === a, memory.take(1000) === a]).toEqual([true, false]);
    for (const buffer of [a, b, c]) memory.giveBack(buffer);
    expect([memory.take(1000), memory.take(1000), memory.take(1000)].filter((buffer) => [a, b, c].includes(buffer))).toEqual([b, c]);
    const large = memory.take(4000);
    memory.giveBack(large);
    expect(memory.take(4000)).not.toBe(large);
  });

  it('holds batches that are what they would be in memory of their own, whatever was in it', () => {
    const fields: Field[] = [
      { name: 'image', kind: 'bytes' },
      { name: 'score', kind: 'numbers', dtype: 'float32', size: 2 },
    ];
    const batchOf = (seed: number, memory?: BatchMemory): ReturnType<typeof buildBatch> => {
      const sequences = [0, 1, 2].map((row) => {
        const ids = Int32Array.of(seed, row, 0, 0);
        const segments = Int32Array.of(0, 0, row, 0, 2, 3, -1, 0, 0, 0, 2, 0);
        const own = [new Uint8Array(5 + row).fill(seed), new Uint8Array(Float32Array.of(seed, row).buffer)];
        return { ids, segments, digest: sequenceDigest(ids, segments, undefined, own), tokens: 2, fields: own };
      });
      return buildBatch(sequences, 4, { fields, memory });
    };
    const memory = new BatchMemory({ buffersMax: 8, bytesMax: 1e6 });
    const used = new Set<ArrayBuffer>();
    for (let seed = 1; seed < 6; seed++) {
      const batch = batchOf(seed, memory);
      expect(batch).toEqual(batchOf(seed));
      expect(batchDigest(batch)).toBe(batch.digest);
      const buffers = [batch.inputIds.buffer, ...buffersOfFields(batch.fields!)];
      for (const buffer of buffers) {
        used.add(buffer);
        new Uint8Array(buffer).fill(0xa5);
        memory.giveBack(buffer);
      }
    }
    expect(used.size).toBe(3);
  });
});

describe('batches side by side', () => {
  const bounds = { buffersMax: 4, bytesMax: 1e6 };

  it('lie one behind the other in one slab, each at a multiple of 8 bytes, until it is full', () => {
    const memory = new BatchMemory({ ...bounds, slabBytes: 1000 });
    const places = [100, 101, 7, 250].map((bytes) => memory.place(bytes));
    const [{ buffer }] = places;
    expect(places.map(({ byteOffset }) => byteOffset)).toEqual([0, 104, 208, 216]);
    expect(places.every((place) => place.buffer === buffer)).toBe(true);
    // what is more than a quarter of a slab, has its own
    const large = memory.place(251);
    expect([large.buffer === buffer, large.byteOffset]).toEqual([false, 0]);
    const rest = Math.floor((buffer.byteLength - 472) / 200);
    for (let i = 0; i < rest; i++) expect(memory.place(200).buffer).toBe(buffer);
    const next = memory.place(200);
    expect([next.buffer === buffer, next.byteOffset]).toEqual([false, 0]);
  });

  it('are used again when the last of a slab came back, and no sooner', () => {
    const memory = new BatchMemory({ ...bounds, slabBytes: 400 });
    const filled = Array.from({ length: 4 }, () => memory.place(100).buffer);
    const next = memory.place(100).buffer;
    expect(new Set(filled).size).toBe(1);
    expect(next).not.toBe(filled[0]);
    for (const buffer of filled.slice(1)) memory.giveBack(buffer);
    for (let i = 0; i < 3; i++) expect(memory.place(100).buffer).toBe(next);
    const third = memory.place(100).buffer;
    expect(filled).not.toContain(third); // one of its batches is still out
    memory.giveBack(filled[0]);
    for (let i = 0; i < 3; i++) expect(memory.place(100).buffer).toBe(third);
    expect(memory.place(100).buffer).toBe(filled[0]);
  });

  it('begin anew in the slab that is being filled, when all of it came back', () => {
    const memory = new BatchMemory({ ...bounds, slabBytes: 1000 });
    const { buffer } = memory.place(100);
    memory.place(100);
    memory.giveBack(buffer);
    expect(memory.place(100).byteOffset).toBe(208);
    memory.giveBack(buffer);
    memory.giveBack(buffer);
    expect(memory.place(100)).toEqual({ buffer, byteOffset: 0 });
  });
});
