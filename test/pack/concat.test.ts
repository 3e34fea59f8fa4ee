import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING, type SequenceChunk } from '../../src/core/sequence.js';
import { concatPacker } from '../../src/pack/concat.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';

const provenance = { source: 3, shard: (document: number) => document % 2, row: (document: number) => 100 + document };

/** Packs everything in chunks of `sequencesMax`; answers with the chunks. */
function packAll(
  documents: readonly Int32Array[],
  length: number,
  sequencesMax: number,
  from: PackPosition = { document: 0, token: 0 },
): SequenceChunk[] {
  const source = { count: documents.length, tokens: (document: number) => documents[document] };
  const chunks: SequenceChunk[] = [];
  for (let position = from; position.document < documents.length;) {
    const writer = new SequenceWriter({ length, padId: 0, sequencesMax, provenance });
    position = concatPacker.pack(source, position, writer);
    chunks.push(writer.toChunk());
  }
  return chunks;
}

const documentsOf = fc
  .array(fc.integer({ min: 0, max: 40 }), { maxLength: 30 })
  .map((lengths) => lengths.map((length, document) => Int32Array.from({ length }, (_, token) => 1000 * (document + 1) + token)));

describe('concat packing', () => {
  it('loses and repeats no token, keeps the order, and pads the last sequence only', () => {
    fc.assert(
      fc.property(documentsOf, fc.integer({ min: 2, max: 20 }), fc.integer({ min: 1, max: 5 }), (documents, length, sequencesMax) => {
        const chunks = packAll(documents, length, sequencesMax);
        const ids = chunks.flatMap((chunk) => [...chunk.ids]);
        const tokens = documents.flatMap((document) => [...document]);
        expect(ids.slice(0, tokens.length)).toEqual(tokens);
        expect(ids.slice(tokens.length).every((id) => id === 0)).toBe(true);
        expect(ids.length).toBe(Math.ceil(tokens.length / length) * length);
      }),
    );
  });

  it('says of each piece where it is from, and the pieces of a document make it whole', () => {
    fc.assert(
      fc.property(documentsOf, fc.integer({ min: 2, max: 20 }), (documents, length) => {
        const [chunk = { count: 0, ids: [], segments: [], segmentBounds: [0] }] = packAll(documents, length, 10_000);
        let token = 0;
        const rebuilt = new Map<number, number[]>();
        for (let i = 0; i < chunk.segments.length; i += SEGMENT_FIELDS) {
          const [source, shard, row, start, taken, flags] = chunk.segments.slice(i, i + SEGMENT_FIELDS);
          if (source !== SOURCE_PADDING) {
            expect([source, shard]).toEqual([3, (row - 100) % 2]);
            const own = rebuilt.get(row - 100) ?? [];
            expect(own.length).toBe(start);
            expect((flags & SEGMENT_FIRST) !== 0).toBe(start === 0);
            expect((flags & SEGMENT_LAST) !== 0).toBe(start + taken === documents[row - 100].length);
            rebuilt.set(row - 100, [...own, ...chunk.ids.slice(token, token + taken)]);
          }
          token += taken;
        }
        expect(token).toBe(chunk.count * length);
        for (const [document, ids] of rebuilt) expect(ids).toEqual([...documents[document]]);
        expect(rebuilt.size).toBe(documents.filter((document) => document.length > 0).length);
      }),
    );
  });

  it('goes on from the end of any sequence as if it had never stopped, whatever the chunks were', () => {
    fc.assert(
      fc.property(
        documentsOf,
        fc.integer({ min: 2, max: 20 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (documents, length, sequencesMax, pick) => {
          const whole = packAll(documents, length, 10_000).at(0);
          if (whole === undefined || whole.count === 0) return;
          const chopped = packAll(documents, length, sequencesMax);
          expect(chopped.flatMap((chunk) => [...chunk.ends])).toEqual([...whole.ends]);
          expect(chopped.flatMap((chunk) => [...chunk.digests])).toEqual([...whole.digests]);
          const sequence = pick % whole.count;
          const from = { document: whole.ends[2 * sequence], token: whole.ends[2 * sequence + 1] };
          const rest = packAll(documents, length, 3, from).flatMap((chunk) => [...chunk.ids]);
          expect(rest).toEqual([...whole.ids.slice((sequence + 1) * length)]);
        },
      ),
    );
  });
});
