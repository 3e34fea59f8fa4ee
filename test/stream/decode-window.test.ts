import { describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/core/errors.js';
import type { EncodedSlice, SliceRows } from '../../src/decode/decoder.js';
import type { SliceDecoder } from '../../src/decode/slice-decoder.js';
import { WindowDamaged } from '../../src/stream/damage.js';
import { decodeWindow } from '../../src/stream/decode-window.js';
import type { WindowPayload, WindowSlice } from '../../src/stream/messages.js';
import { WindowDocuments } from '../../src/stream/window-documents.js';

const SLICES = 4;
const ROWS = 3;

/** Slice i has rows of one id: 10 i, 10 i + 1 … As they lie: document d is row d mod 3 of slice ⌊d ÷ 3⌋. */
function open(
  damaged: readonly number[],
  { again = false, badBlocks = 'fail' }: { readonly again?: boolean; readonly badBlocks?: 'fail' | 'skip' } = {},
) {
  const slices = Array.from({ length: SLICES }, (_, i): WindowSlice => {
    // a fetched slice of any format, as far as nobody looks into it
    const encoded = { format: 'arrow', uri: `memory://x/${i}`, rows: ROWS, ranges: [{ startByte: i, endByte: i + 1 }] } as unknown;
    return {
      encoded: encoded as EncodedSlice,
      shard: i,
      path: String(i),
      beside: undefined,
      startRow: 100 * i,
      blockStartRow: 0,
      again,
      tokens: undefined,
    };
  });
  const decoded: number[] = [];
  const decoder: SliceDecoder = {
    rows: (encoded): SliceRows => {
      if (encoded.format === 'rejected') return { kind: 'rejected', count: encoded.rows };
      const i = slices.findIndex((slice) => slice.encoded === encoded);
      decoded.push(i);
      if (damaged.includes(i)) throw new HeadraceError('SHARD_INVALID', `slice ${i} is damaged`, { hint: 'none' });
      const ids = Int32Array.from({ length: ROWS }, (_, row) => 10 * i + row);
      return { kind: 'tokens', count: ROWS, bounds: Int32Array.of(0, 1, 2, 3), ids, valid: undefined, idsBelow: 100 };
    },
    beside: () => {
      throw new Error('nothing is beside the rows');
    },
  };
  const payload: WindowPayload = { sourceIndex: 0, kind: 'tokens', slices, epoch: 0, orderKey: undefined, selection: undefined };
  const window = decodeWindow(payload, decoder, badBlocks);
  const documents = new WindowDocuments(window.payload, {
    encoder: undefined,
    appendId: undefined,
    idsEnd: 100,
    rowTokens: undefined,
    badRows: 'fail',
    invalidUtf8: 'error',
    decode: window.decode,
    decodeBeside: window.decodeBeside,
  });
  return { documents, decoded };
}

describe('slices of a window', () => {
  it('are decoded when the first of their rows is wanted, and once', () => {
    const { documents, decoded } = open([]);
    expect(documents.count).toBe(SLICES * ROWS);
    expect(decoded).toEqual([]);
    expect([...documents.tokens(7)]).toEqual([21]);
    expect([...documents.tokens(8)]).toEqual([22]);
    expect(decoded).toEqual([2]);
    expect([documents.rows.decodeNext(), documents.rows.decodeNext()]).toEqual([true, true]);
    expect(decoded).toEqual([2, 0, 1]);
    documents.tokens(11);
    expect(documents.rows.decodeNext()).toBe(false);
    expect(decoded).toEqual([2, 0, 1, 3]);
  });

  it('that are damaged are told of all at once, by the first that is wanted', () => {
    const { documents } = open([1, 3]);
    expect([...documents.tokens(0)]).toEqual([0]);
    let told: unknown;
    try {
      documents.tokens(3);
    } catch (error) {
      told = error;
    }
    expect(told).toBeInstanceOf(WindowDamaged);
    expect((told as WindowDamaged).slices).toEqual([
      { slice: 1, ranges: [{ startByte: 1, endByte: 2 }] },
      { slice: 3, ranges: [{ startByte: 3, endByte: 4 }] },
    ]);
  });

  it('that are damaged still when they were read anew are an error, or keep their places without rows, told once', () => {
    expect(() => open([1], { again: true }).documents.tokens(4)).toThrow('slice 1 is damaged');

    const { documents } = open([1], { again: true, badBlocks: 'skip' });
    expect(documents.rows.takeWork().skipped).toEqual([]);
    expect([2, 3, 4, 5, 6].map((document) => [...documents.tokens(document)])).toEqual([[2], [], [], [], [20]]);
    const { skipped, rowsSkipped } = documents.rows.takeWork();
    expect(skipped).toMatchObject([{ shard: 1, startRow: 100, endRow: 103, reason: 'damaged', problem: 'slice 1 is damaged' }]);
    expect(rowsSkipped).toBe(3);
  });
});
