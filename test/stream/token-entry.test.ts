import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTokenEntryWriter, idBytesOf, readTokenEntry, type IdBytes } from '../../src/stream/token-entry.js';

type Row = readonly number[] | null;

function write(rows: readonly Row[], idBytes: IdBytes, order = rows.map((_, row) => row)): Uint8Array | undefined {
  const writer = createTokenEntryWriter(rows.length, idBytes);
  for (const row of order) {
    const ids = rows[row];
    expect(writer.take()).toBeUndefined();
    if (ids === null) writer.reject(row);
    else writer.add(row, Int32Array.from(ids));
  }
  return writer.take();
}

function read(entry: Uint8Array, rows: number): readonly Row[] | undefined {
  const found = readTokenEntry(entry, rows);
  if (found === undefined) return undefined;
  const { bounds, ids, isRejected } = found;
  return Array.from({ length: rows }, (_, row) => (isRejected(row) ? null : [...ids.subarray(bounds[row], bounds[row + 1])]));
}

const entryArbitrary = fc.constantFrom<IdBytes>(2, 4).chain((idBytes) =>
  fc.record({
    idBytes: fc.constant(idBytes),
    rows: fc.array(fc.option(fc.array(fc.nat(idBytes === 2 ? 2 ** 16 - 1 : 2 ** 31 - 1), { maxLength: 20 }), { freq: 4 }), {
      minLength: 1,
      maxLength: 20,
    }),
  }),
);

describe('an entry of the token cache', () => {
  it('gives back what was written, whatever the order of the rows, which it does not depend on', () => {
    const property = fc.property(entryArbitrary, fc.infiniteStream(fc.nat()), ({ idBytes, rows }, random) => {
      const order = rows.map((_, row) => ({ row, at: random.next().value })).sort((a, b) => a.at - b.at);
      const entry = write(rows, idBytes);
      if (entry === undefined) throw new Error('no entry');
      expect(read(entry, rows.length)).toEqual(rows);
      expect(readTokenEntry(entry, rows.length)?.rejectedRows).toBe(rows.filter((row) => row === null).length);
      expect(
        write(
          rows,
          idBytes,
          order.map(({ row }) => row),
        ),
      ).toEqual(entry);
      expect(entry.byteLength).toBe(entry.buffer.byteLength);
    });
    fc.assert(property);
  });

  it('is none when it is cut, too long, of other rows, or of another version', () => {
    const property = fc.property(entryArbitrary, fc.nat(), ({ idBytes, rows }, cut) => {
      const entry = write(rows, idBytes) ?? new Uint8Array(0);
      expect(readTokenEntry(entry.slice(0, cut % entry.length), rows.length)).toBeUndefined();
      expect(readTokenEntry(Uint8Array.from([...entry, 0]), rows.length)).toBeUndefined();
      expect(readTokenEntry(entry, rows.length + 1)).toBeUndefined();
      expect(readTokenEntry(entry, rows.length - 1)).toBeUndefined();
      expect(
        readTokenEntry(
          Uint8Array.from(entry, (byte, i) => (i === 0 ? byte ^ 2 : byte)),
          rows.length,
        ),
      ).toBeUndefined();
    });
    fc.assert(property);
  });

  // the checksum around it finds these: what is left is that no reader leaves its arrays
  it('with flipped bits is none, or has as many rows, within its ids', () => {
    const property = fc.property(entryArbitrary, fc.nat(), fc.integer({ min: 1, max: 255 }), ({ idBytes, rows }, at, bits) => {
      const entry = write(rows, idBytes) ?? new Uint8Array(0);
      entry[at % entry.length] ^= bits;
      const found = readTokenEntry(entry, rows.length);
      if (found === undefined) return;
      expect(found.bounds[rows.length]).toBe(found.ids.length);
      expect([...found.bounds].every((bound, i) => i === 0 || bound >= found.bounds[i - 1])).toBe(true);
    });
    fc.assert(property);
  });

  it('is not made of rows that are not all known, of ids that do not fit, or twice', () => {
    const writer = createTokenEntryWriter(3, 2);
    writer.add(0, Int32Array.of(1));
    writer.add(0, Int32Array.of(2));
    writer.add(2, Int32Array.of(65_535));
    expect(writer.take()).toBeUndefined();
    writer.reject(1);
    const entry = writer.take();
    expect(entry && read(entry, 3)).toEqual([[1], null, [65_535]]);
    expect(writer.take()).toBeUndefined();
    expect(write([[65_536]], 2)).toBeUndefined();
    expect(write([[-1]], 4)).toBeUndefined();
  });

  it('has two bytes an id for a vocabulary of up to 65,536', () => {
    expect([50_257, 65_536, 65_537, 128_256].map(idBytesOf)).toEqual([2, 2, 4, 4]);
  });

  it('grows with its ids', () => {
    const ids = Array.from({ length: 50_000 }, (_, i) => i);
    const entry = write([ids, [1], ids], 2);
    expect(entry && read(entry, 3)).toEqual([ids, [1], ids]);
  });
});
