import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { SEGMENT_FIELDS, sequenceOfChunk } from '../../src/core/sequence.js';
import type { DocumentSource, PackPosition } from '../../src/pack/packer.js';
import { samplePacker } from '../../src/pack/samples.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';

const LENGTH = 3;

/** `rows`: of each the lengths of its samples, maybe 0; none where it is left out. */
function pack(rows: readonly (readonly number[])[], portion: number, from: PackPosition, fieldBytes = 1) {
  const documents: DocumentSource = {
    count: rows.length,
    tokens: () => new Int32Array(0),
    samples: (row) =>
      rows[row].map((length, i) => ({
        tokens: new Int32Array(length).fill(10 * row + i),
        tokenStart: rows[row].slice(0, i).reduce((sum, own) => sum + own, 0),
        fields: [new Uint8Array(fieldBytes).fill(row)],
      })),
  };
  const lines: string[] = [];
  const ends: PackPosition[] = [];
  const counts: number[] = [];
  for (let position = from; position.document < rows.length;) {
    const writer = new SequenceWriter({
      length: LENGTH,
      padId: -1,
      sequencesMax: portion,
      provenance: { source: 0, shard: () => 0, row: (row) => row },
    });
    position = samplePacker.pack(documents, position, writer);
    const chunk = writer.toChunk();
    counts.push(chunk.count);
    for (let i = 0; i < chunk.count; i++) {
      const { ids, segments, fields = [] } = sequenceOfChunk(chunk, i, LENGTH);
      lines.push([...ids, '|', ...segments.subarray(0, SEGMENT_FIELDS), '|', fields[0][0]].join(' '));
      ends.push({ document: chunk.ends[2 * i], token: chunk.ends[2 * i + 1] });
    }
  }
  return { lines, ends, counts };
}

describe('rows that are several samples', () => {
  const START: PackPosition = { document: 0, token: 0 };

  it('have the fields of the row in each, and places in its tokens', () => {
    expect(pack([[2, 0, 4], [], [0], [1]], 100, START)).toEqual({
      lines: [
        '0 0 -1 | 0 0 0 0 2 3 | 0',
        '-1 -1 -1 | 0 0 0 2 0 3 | 0',
        '2 2 2 | 0 0 0 2 3 1 | 0',
        '-1 -1 -1 | 0 0 2 0 0 3 | 2',
        '30 -1 -1 | 0 0 3 0 1 3 | 3',
      ],
      ends: [
        { document: 0, token: 1 },
        { document: 0, token: 2 },
        { document: 1, token: 0 },
        { document: 3, token: 0 },
        { document: 4, token: 0 },
      ],
      counts: [5],
    });
  });

  it('are the same however many are asked for, and from any of them on', () => {
    const row = fc.array(fc.nat(5), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 5 }), (rows, portion) => {
        const whole = pack(rows, 100, START);
        expect(pack(rows, portion, START).lines).toEqual(whole.lines);
        for (const [i, end] of whole.ends.entries()) expect(pack(rows, portion, end).lines).toEqual(whole.lines.slice(i + 1));
      }),
    );
  });

  it('with large fields travel by the handful, also out of the middle of a row', () => {
    const { counts, lines } = pack([[1, 1, 1, 1, 1]], 100, START, LIMITS.chunkFieldBytes / 2);
    expect(counts).toEqual([2, 2, 1]);
    expect(lines.length).toBe(5);
  });
});
