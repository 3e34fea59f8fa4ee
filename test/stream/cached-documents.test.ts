import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SliceRows } from '../../src/decode/decoder.js';
import { CachedDocuments } from '../../src/stream/cached-documents.js';
import type { WindowPayload, WindowSlice } from '../../src/stream/messages.js';
import type { DocumentEncoder } from '../../src/tokenize/tokenizer.js';

const END_OF_TEXT = 999;
/** A row's text: its bytes are its tokens. */
type Text = readonly number[];
/** Not UTF-8. */
const BAD: Text = [0xff];

interface Tokenizing extends DocumentEncoder {
  bytes: number;
}

function countingEncoder(): Tokenizing {
  return {
    bytes: 0,
    encodeBatch(bytes, bounds) {
      this.bytes += bounds[bounds.length - 1] - bounds[0];
      return { ids: Int32Array.from(bytes.subarray(bounds[0], bounds[bounds.length - 1])), bounds: bounds.map((at) => at - bounds[0]) };
    },
  };
}

interface Opened {
  readonly documents: CachedDocuments;
  readonly encoder: Tokenizing;
  readonly entries: ReadonlyMap<string, Uint8Array>;
}

/** A window whose slices are all wanted: their keys are their indices. */
function open(slices: readonly (readonly Text[])[]): Opened {
  const encoder = countingEncoder();
  const entries = new Map<string, Uint8Array>();
  const payload: WindowPayload = {
    sourceIndex: 0,
    kind: 'text',
    slices: slices.map((rows, shard): WindowSlice => {
      const place = { shard, path: `${shard}`, startRow: 0, blockStartRow: 0 };
      const encoded = { format: 'omitted', uri: `file:///${shard}`, rows: rows.length } as const;
      return { ...place, encoded, beside: undefined, again: false, tokens: { kind: 'wanted', key: `${shard}` } };
    }),
    epoch: 0,
    orderKey: Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    selection: undefined,
  };
  const documents = new CachedDocuments(payload, {
    encoder,
    appendId: END_OF_TEXT,
    idsEnd: 1000,
    rowTokens: undefined,
    badRows: 'skip',
    invalidUtf8: 'error',
    idBytes: 2,
    onEntry: (key, entry) => entries.set(key, entry),
    decode: (at) => ({ slice: payload.slices[at], rows: textRows(slices[at]) }),
    decodeBeside: () => {
      throw new Error('nothing is beside the rows');
    },
  });
  return { documents, encoder, entries };
}

function textRows(rows: readonly Text[]): SliceRows {
  const bounds = new Int32Array(rows.length + 1);
  for (const [i, row] of rows.entries()) bounds[i + 1] = bounds[i] + row.length;
  return { kind: 'text', count: rows.length, bounds, bytes: Uint8Array.from(rows.flat()), valid: undefined };
}

/** Of its documents, one after the other. `before`: what happens before each of them. */
function allTokens({ documents }: Opened, before: (document: number) => void = () => undefined): number[][] {
  return Array.from({ length: documents.count }, (_, document) => {
    before(document);
    return [...documents.tokens(document)];
  });
}

function take({ documents }: Opened, slice: number, { entries }: Opened): void {
  const entry = entries.get(`${slice}`);
  if (entry === undefined) throw new Error('there is no entry of the slice');
  documents.take(slice, entry.slice());
}

const textArbitrary = fc.oneof(
  { weight: 9, arbitrary: fc.array(fc.integer({ min: 1, max: 127 }), { size: 'max', maxLength: 2 ** 10 }) },
  fc.constant(BAD),
);
const slicesArbitrary = fc.array(fc.array(textArbitrary, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 5 });

describe('documents of a window that wants tokens, some of which another window makes', () => {
  it('are the same whenever that is, and so is what is skipped', () => {
    const property = fc.property(slicesArbitrary, fc.infiniteStream(fc.nat()), (slices, random) => {
      const alone = open(slices);
      const expected = allTokens(alone);
      expect(alone.entries.size).toBe(slices.length);
      const helped = open(slices);
      const at = slices.map(() => random.next().value % (helped.documents.count + 1));
      const found = allTokens(helped, (document) => {
        for (const slice of slices.keys()) if (at[slice] === document) take(helped, slice, alone);
      });
      expect(found).toEqual(expected);
      expect(helped.documents.rows.takeWork().rowsSkipped).toBe(alone.documents.rows.takeWork().rowsSkipped);
      expect(helped.encoder.bytes).toBeLessThanOrEqual(alone.encoder.bytes);
      if (at.every((document) => document === 0)) expect(helped.encoder.bytes).toBe(0);
    });
    fc.assert(property);
  });

  it('are the same where a packer goes back', () => {
    const property = fc.property(slicesArbitrary, fc.infiniteStream(fc.nat()), (slices, random) => {
      const alone = open(slices);
      const expected = allTokens(alone);
      const helped = open(slices);
      for (let visit = 0; visit < 100; visit++) {
        if (random.next().value % 4 === 0) take(helped, random.next().value % slices.length, alone);
        const document = random.next().value % helped.documents.count;
        expect([...helped.documents.tokens(document)]).toEqual(expected[document]);
      }
    });
    fc.assert(property);
  });

  it('are tokenized no more, once it has', () => {
    const slices = [Array.from({ length: 50 }, () => new Array<number>(4096).fill(1))];
    const alone = open(slices);
    allTokens(alone);
    const helped = open(slices);
    let before = 0;
    allTokens(helped, (document) => {
      if (document !== 10) return;
      before = helped.encoder.bytes;
      take(helped, 0, alone);
    });
    expect(before).toBeGreaterThan(10 * 4096);
    expect(before).toBeLessThan(alone.encoder.bytes);
    expect(helped.encoder.bytes).toBe(before);
    expect(helped.entries.size).toBe(0);
  });
});
