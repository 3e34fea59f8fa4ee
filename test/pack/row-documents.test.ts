import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Packing } from '../../src/core/packing.js';
import { SEGMENT_FIELDS, sequenceOfChunk, SOURCE_PADDING } from '../../src/core/sequence.js';
import { createPacker } from '../../src/pack/create-packer.js';
import type { DocumentSource, PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';

/** Rows that became several documents are packed as these documents are, and positions name the rows. */

const PACKINGS: readonly Packing[] = [
  { kind: 'concat' },
  { kind: 'best-fit', groupTokens: 100_000 },
  { kind: 'pad', long: 'split' },
  { kind: 'pad', long: 'truncate' },
];

interface Packed {
  readonly lines: readonly string[];
  readonly ends: readonly PackPosition[];
}

/** `rows`: of each the lengths of its documents, above 0. A packer of its own for each portion. */
function packRows(packing: Packing, rows: readonly (readonly number[])[], length: number, portion: number, from: PackPosition): Packed {
  const sum = (lengths: readonly number[]): number => lengths.reduce((total, one) => total + one, 0);
  const view = new Int32Array(200);
  const documents: DocumentSource = {
    count: rows.length,
    tokens: (row) => {
      // a view that is valid until the next call, as the product's are
      const own = view.subarray(0, sum(rows[row]));
      const before = sum(rows.slice(0, row).map(sum));
      return own.map((_, token) => before + token);
    },
    ends: (row) => (rows[row].length < 2 ? undefined : Int32Array.from(rows[row], (_, i) => sum(rows[row].slice(0, i + 1)))),
  };
  const lines: string[] = [];
  const ends: PackPosition[] = [];
  for (let position = from; position.document < rows.length;) {
    const provenance = { source: 0, shard: () => 0, row: (row: number) => row };
    const writer = new SequenceWriter({ length, padId: -7, sequencesMax: portion, provenance });
    position = createPacker(packing).pack(documents, position, writer);
    const chunk = writer.toChunk();
    for (let s = 0; s < chunk.count; s++) {
      const { ids, segments } = sequenceOfChunk(chunk, s, length);
      lines.push([...ids, '|', ...documentsOf(segments, rows, sum)].join(' '));
      ends.push({ document: chunk.ends[2 * s], token: chunk.ends[2 * s + 1] });
    }
  }
  return { lines, ends };
}

/** Of each segment the document, counted over all rows, its token, length and flags. */
function documentsOf(segments: Int32Array, rows: readonly (readonly number[])[], sum: (lengths: readonly number[]) => number): string[] {
  return Array.from({ length: segments.length / SEGMENT_FIELDS }, (_, i) => {
    const [source, , row, start, tokens, flags] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
    if (source === SOURCE_PADDING) return `padding ${tokens}`;
    const lengths = rows[row];
    const own = lengths.findIndex((_, at) => start < sum(lengths.slice(0, at + 1)));
    const document = rows.slice(0, row).reduce((count, { length }) => count + length, own);
    return `${document}:${start - sum(lengths.slice(0, own))}+${tokens}/${flags}`;
  });
}

const arbitraryRows = fc.array(fc.array(fc.integer({ min: 1, max: 25 }), { maxLength: 5 }), { maxLength: 12 });
const START: PackPosition = { document: 0, token: 0 };

describe.each(PACKINGS)('packing %o of rows with several documents', (packing) => {
  it('makes the sequences of the documents', () => {
    fc.assert(
      fc.property(arbitraryRows, fc.integer({ min: 2, max: 20 }), (rows, length) => {
        const flat = rows.flat().map((tokens) => [tokens]);
        expect(packRows(packing, rows, length, 1000, START).lines).toEqual(packRows(packing, flat, length, 1000, START).lines);
      }),
      { numRuns: 100 },
    );
  });

  it('goes on from the end of any sequence, in portions of any size', () => {
    fc.assert(
      fc.property(arbitraryRows, fc.integer({ min: 2, max: 20 }), fc.integer({ min: 1, max: 4 }), (rows, length, portion) => {
        const whole = packRows(packing, rows, length, 1000, START);
        expect(packRows(packing, rows, length, portion, START)).toEqual(whole);
        for (const [i, end] of whole.ends.entries()) {
          expect(packRows(packing, rows, length, portion, end).lines).toEqual(whole.lines.slice(i + 1));
        }
      }),
      { numRuns: 40 },
    );
  });
});
