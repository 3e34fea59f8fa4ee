import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EncodedSlice } from '../../src/decode/decoder.js';
import type { WindowPayload } from '../../src/stream/messages.js';
import { RecordDocuments, type SourceTransform } from '../../src/stream/record-documents.js';
import type { EncodeRecords } from '../../src/stream/record-encoders.js';
import { textRecords } from '../../src/stream/record-encoders.js';
import type { TransformFunction } from '../../src/transform/transform.js';

/** Ids are UTF-8 bytes; 0 ends a document. */
const encode: EncodeRecords = textRecords(
  'text',
  { encodeBatch: (bytes, bounds) => ({ ids: Int32Array.from(bytes.subarray(0, bounds.at(-1))), bounds }) },
  0,
);

function open(
  texts: readonly string[],
  transform: TransformFunction,
  { badRows = 'fail', rowMsMax = 10_000 }: { readonly badRows?: 'fail' | 'skip'; readonly rowMsMax?: number } = {},
): RecordDocuments {
  const slices = [texts.slice(0, 3), texts.slice(3)].map((own, i) => ({
    encoded: { format: 'omitted' as const, uri: `memory://x/${i}`, rows: own.length },
    shard: i,
    path: String(i),
    beside: undefined,
    startRow: 10 * i,
    blockStartRow: 0,
    again: false,
    tokens: undefined,
  }));
  const rowsOf = new Map<EncodedSlice, readonly string[]>(
    slices.map(({ encoded }, i) => [encoded, i === 0 ? texts.slice(0, 3) : texts.slice(3)]),
  );
  const payload: WindowPayload = {
    sourceIndex: 0,
    kind: 'records',
    slices,
    epoch: 2,
    orderKey: Uint32Array.from({ length: 8 }, (_, i) => i),
    selection: undefined,
  };
  const makes = { column: 'text', columns: ['text'], kind: 'text', invalidUtf8: 'error' } as const;
  const own: SourceTransform = { file: 'clean.js', source: 'web', makes, transform, seed: 1, rowMsMax };
  return new RecordDocuments(payload, {
    badRows,
    invalidUtf8: 'error',
    encode,
    column: 'text',
    transform: own,
    decode: (index) => {
      const slice = slices[index];
      const rows = rowsOf.get(slice.encoded) ?? [];
      return { slice, rows: { kind: 'records', count: rows.length, at: (row) => ({ row: { text: rows[row] }, isValidUtf8: true }) } };
    },
    decodeBeside: () => {
      throw new Error('nothing is beside the rows');
    },
  });
}

/** "a b" becomes two rows, "-" none, "!" an exception. */
const split: TransformFunction = (row) => {
  const text = row.text as string;
  if (text === '!') throw new Error('loud');
  return text === '-' ? null : text.split(' ').map((part) => ({ text: part }));
};

const textOf = (ids: Int32Array): string => Buffer.from(Uint8Array.from(ids)).toString();

describe('the documents of a window of transformed rows', () => {
  it('are the same from any of them on, and each row that is left out is counted once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'a b', 'c  d', '', '-', '!', 'long text of words'), { minLength: 3, maxLength: 12 }),
        (texts) => {
          const whole = open(texts, split, { badRows: 'skip' });
          const made = texts.map((_, document) => [textOf(whole.tokens(document)), whole.ends(document)?.join()]);
          for (let document = 0; document < whole.count; document++) {
            const text = texts[whole.rows.shard(document) === 0 ? whole.rows.row(document) : whole.rows.row(document) - 10 + 3];
            const parts = text === '-' || text === '!' ? [] : text.split(' ');
            expect(made[document][0]).toBe(parts.map((part) => `${part}\0`).join(''));
            const anew = open(texts, split, { badRows: 'skip' });
            expect([textOf(anew.tokens(document)), anew.ends(document)?.join()]).toEqual(made[document]);
          }
          const { rowsFiltered, rowsSkipped, skipped } = whole.rows.takeWork();
          const count = (wanted: string): number => texts.filter((text) => text === wanted).length;
          expect([rowsFiltered, rowsSkipped, skipped.length]).toEqual([count('-'), count('!'), count('!')]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('with a row that is never done are an error under either policy, which names it', () => {
    const endless: TransformFunction = (row) => {
      while (row.text === 'c');
      return row;
    };
    const documents = open(['a', 'b', 'c', 'd'], endless, { badRows: 'skip', rowMsMax: 250 });
    const all = (): void => {
      for (let document = 0; document < 4; document++) documents.tokens(document);
    };
    expect(all).toThrow(
      expect.objectContaining({
        code: 'TRANSFORM_FAILED',
        message: 'row 2 of memory://x/0 is not transformed by clean.js after 0.25 s',
        detail: { uri: 'memory://x/0', row: 2, transform: 'clean.js' },
      }),
    );
  });

  it('may each take long, as long as none takes too long', () => {
    const slow: TransformFunction = (row) => {
      const end = performance.now() + 60;
      while (performance.now() < end);
      return row;
    };
    const letters = Array.from({ length: 12 }, (_, i) => String(i));
    const documents = open(letters, slow, { rowMsMax: 600 });
    const texts = letters.map((_, document) => textOf(documents.tokens(document)));
    expect(texts.sort()).toEqual(letters.map((letter) => `${letter}\0`).sort());
  });
});
