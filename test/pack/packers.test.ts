import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Packing } from '../../src/core/packing.js';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING, sequenceOfChunk, type Sequence } from '../../src/core/sequence.js';
import { createPacker } from '../../src/pack/create-packer.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';

/** What holds for every way of packing, over documents of random lengths (some without tokens), random lengths of sequences, and random portions. */

const PAD = -7;
const provenance = { source: 3, shard: (document: number) => document % 2, row: (document: number) => 100 + document };

interface Packed {
  readonly sequence: Sequence;
  readonly end: PackPosition;
}

interface Run {
  readonly packed: readonly Packed[];
  readonly dropped: number;
}

/** Portions of `portions[0]`, `portions[1]` … sequences, round and round. `fresh`: every portion is packed by a packer that knows nothing of the others. */
function packAll(
  packing: Packing,
  documents: readonly Int32Array[],
  length: number,
  portions: readonly number[],
  { from = { document: 0, token: 0 }, fresh = false }: { readonly from?: PackPosition; readonly fresh?: boolean } = {},
): Run {
  // as the product's documents are: a view that is valid until the next call
  const view = new Int32Array(100);
  const source = {
    count: documents.length,
    tokens: (document: number) => {
      view.fill(-1);
      view.set(documents[document]);
      return view.subarray(0, documents[document].length);
    },
  };
  const packed: Packed[] = [];
  let dropped = 0;
  let packer = createPacker(packing);
  for (let position = from, i = 0; position.document < documents.length; i++) {
    const writer = new SequenceWriter({ length, padId: PAD, sequencesMax: portions[i % portions.length], provenance });
    if (fresh) packer = createPacker(packing);
    const stopped = packer.pack(source, position, writer);
    const chunk = writer.toChunk();
    dropped += writer.dropped;
    for (let s = 0; s < chunk.count; s++) {
      packed.push({ sequence: sequenceOfChunk(chunk, s, length), end: { document: chunk.ends[2 * s], token: chunk.ends[2 * s + 1] } });
    }
    // it stops because the portion is full, or because nothing is left
    expect(chunk.count === portions[i % portions.length] || stopped.document === documents.length).toBe(true);
    position = stopped;
  }
  return { packed, dropped };
}

function documentsOf(lengths: readonly number[]): Int32Array[] {
  return lengths.map((length, document) => Int32Array.from({ length }, (_, token) => 1000 * (document + 1) + token));
}

const PACKINGS: readonly Packing[] = [
  { kind: 'concat' },
  { kind: 'best-fit', groupTokens: 2 },
  { kind: 'best-fit', groupTokens: 60 },
  { kind: 'best-fit', groupTokens: 100_000 },
  { kind: 'pad', long: 'split' },
  { kind: 'pad', long: 'truncate' },
  { kind: 'none' },
];

interface Case {
  readonly length: number;
  readonly documents: readonly Int32Array[];
  readonly portions: readonly number[];
}

function cases(packing: Packing): fc.Arbitrary<Case> {
  return fc
    .record({ length: fc.integer({ min: 2, max: 20 }), portions: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }) })
    .chain(({ length, portions }) =>
      fc
        // rows that `none` gets are of the sequence's length, or left out
        .array(packing.kind === 'none' ? fc.constantFrom(0, length) : fc.oneof(fc.constantFrom(0, 1, length), fc.nat({ max: 60 })), {
          maxLength: 40,
        })
        .map((lengths) => ({ length, portions, documents: documentsOf(lengths) })),
    );
}

interface Segment {
  readonly source: number;
  readonly shard: number;
  readonly document: number;
  readonly start: number;
  readonly ids: readonly number[];
  readonly flags: number;
}

function segmentsOf({ ids, segments }: Sequence): Segment[] {
  let at = 0;
  return Array.from({ length: segments.length / SEGMENT_FIELDS }, (_, i) => {
    const [source, shard, row, start, tokens, flags] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
    at += tokens;
    return { source, shard, document: row - 100, start, ids: [...ids.subarray(at - tokens, at)], flags };
  });
}

describe.each(PACKINGS)('packing %o', (packing) => {
  it('has every token in one sequence, says where each is from, and pads at the ends of sequences only', () => {
    fc.assert(
      fc.property(cases(packing), ({ documents, length, portions }) => {
        const { packed, dropped } = packAll(packing, documents, length, portions);
        const seen = documents.map((document) => new Uint8Array(document.length));
        for (const { sequence } of packed) {
          const segments = segmentsOf(sequence);
          expect(segments.reduce((sum, { ids }) => sum + ids.length, 0)).toBe(length);
          const padding = segments.filter(({ source }) => source === SOURCE_PADDING);
          expect(padding.length).toBeLessThanOrEqual(1);
          expect(padding.every((segment) => segment === segments.at(-1) && segment.ids.every((id) => id === PAD))).toBe(true);
          expect(sequence.tokens).toBe(length - (padding[0]?.ids.length ?? 0));
          expect(sequence.tokens).toBeGreaterThan(0);
          for (const { source, shard, document, start, ids, flags } of segments.filter((segment) => !padding.includes(segment))) {
            expect([source, shard, ids.length > 0]).toEqual([3, document % 2, true]);
            expect(ids).toEqual([...documents[document].subarray(start, start + ids.length)]);
            expect((flags & SEGMENT_FIRST) !== 0).toBe(start === 0);
            expect((flags & SEGMENT_LAST) !== 0).toBe(start + ids.length === documents[document].length);
            for (let i = 0; i < ids.length; i++) seen[document][start + i]++;
          }
        }
        const kept = (tokens: number): number =>
          packing.kind === 'pad' && packing.long === 'truncate' ? Math.min(tokens, length) : tokens;
        for (const times of seen) expect([...times]).toEqual(Array.from(times, (_, token) => (token < kept(times.length) ? 1 : 0)));
        expect(dropped).toBe(documents.reduce((sum, { length: tokens }) => sum + tokens - kept(tokens), 0));
      }),
      { numRuns: 150 },
    );
  });

  it('goes on from the end of any sequence as if it had never stopped, whatever the portions were, and names each end one way', () => {
    fc.assert(
      fc.property(cases(packing), ({ documents, length, portions }) => {
        const linesOf = (from: PackPosition, portion: readonly number[], fresh = false): string[] =>
          packAll(packing, documents, length, portion, { from, fresh }).packed.map(
            ({ sequence, end }) => `${Buffer.from(sequence.digest).toString('hex')} to ${end.document}:${end.token}`,
          );
        const start = { document: 0, token: 0 };
        const whole = linesOf(start, [10_000]);
        expect(linesOf(start, portions)).toEqual(whole);
        expect(linesOf(start, portions, true)).toEqual(whole);
        for (const [i, line] of whole.entries()) {
          const [document, token] = line.split(' to ')[1].split(':').map(Number);
          expect(linesOf({ document, token }, portions), `after sequence ${i}`).toEqual(whole.slice(i + 1));
        }
        expect(new Set(whole.map((line) => line.split(' to ')[1])).size).toBe(whole.length);
      }),
      { numRuns: 60 },
    );
  });
});

describe('best-fit packing', () => {
  const pieces = (groupTokens: number, lengths: readonly number[], length: number): string[] =>
    packAll({ kind: 'best-fit', groupTokens }, documentsOf(lengths), length, [100]).packed.map(({ sequence }) =>
      segmentsOf(sequence)
        .map(({ source, document, start, ids }) => (source === SOURCE_PADDING ? `·${ids.length}` : `${document}:${start}+${ids.length}`))
        .join(' '),
    );

  it('fills sequences, cuts only what is longer than one, and keeps the order of the pieces that opened them', () => {
    expect(pieces(1000, [5, 3, 8, 2, 6], 8)).toEqual(['0:0+5 1:0+3', '2:0+8', '3:0+2 4:0+6']);
    expect(pieces(1000, [2, 19, 5, 1], 8)).toEqual(['0:0+2 3:0+1 ·5', '1:0+8', '1:8+8', '1:16+3 2:0+5']);
  });

  it('fits documents of a group only, and a group ends with the document that fills it', () => {
    expect(pieces(8, [5, 4, 3, 4, 5], 8)).toEqual(['0:0+5 ·3', '1:0+4 ·4', '3:0+4 ·4', '2:0+3 4:0+5']);
    expect(pieces(1000, [5, 4, 3, 4, 5], 8)).toEqual(['0:0+5 2:0+3', '1:0+4 3:0+4', '4:0+5 ·3']);
  });

  it('cuts no document that a sequence could hold', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 60 }), { maxLength: 60 }), fc.integer({ min: 2, max: 30 }), (lengths, length) => {
        const { packed } = packAll({ kind: 'best-fit', groupTokens: 300 }, documentsOf(lengths), length, [5]);
        const cut = packed.flatMap(({ sequence }) => segmentsOf(sequence)).filter(({ flags }) => flags !== (SEGMENT_FIRST | SEGMENT_LAST));
        for (const { document, source } of cut) if (source !== SOURCE_PADDING) expect(lengths[document]).toBeGreaterThan(length);
      }),
    );
  });

  it('has sequences in an order that says nothing of how many documents they have, or how long these are', () => {
    // short and long documents, well mixed by a fixed generator; the sums of places of many groups show a trend where there is one
    let state = 12345;
    const random = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32;
    const correlations = Array.from({ length: 40 }, () => {
      const lengths = Array.from({ length: 600 }, () => (random() < 0.3 ? 60 + Math.floor(random() * 41) : 1 + Math.floor(random() * 20)));
      const { packed } = packAll({ kind: 'best-fit', groupTokens: 1e6 }, documentsOf(lengths), 100, [10_000]);
      return correlation(packed.map(({ sequence }) => sequence.segments.length / SEGMENT_FIELDS));
    });
    const mean = correlations.reduce((sum, value) => sum + value, 0) / correlations.length;
    // 40 groups of about 200 sequences: the standard error is 1 / √(40 · 200) = 0.011
    expect(Math.abs(mean)).toBeLessThan(0.05);
  });
});

/** Of values with their places. */
function correlation(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let [product, spread, squares] = [0, 0, 0];
  for (const [place, value] of values.entries()) {
    product += (place - middle) * (value - mean);
    spread += (place - middle) ** 2;
    squares += (value - mean) ** 2;
  }
  return product / Math.sqrt(spread * squares);
}
