/** The worker's half of litData: samples in, rows of text or token ids out. */
import type { Rows } from '../decoder.js';
import { tokenIds, type IntegerType } from '../integers.js';
import type { EncodedLitdataSlice } from './encoded-slice.js';
import type { LitdataColumn } from './layout.js';
import { tokensOfLeaf } from './numbers.js';
import { findLeaves, gathered, type LitdataSamples } from './samples.js';

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function decodeLitdataSlice(slice: EncodedLitdataSlice): Rows {
  const samples = findLeaves(slice);
  const { use, column } = slice.wanted;
  if (column === undefined) throw new Error(`the index of ${slice.uri} was not asked for text or tokens`);
  if (use === 'text') return { kind: 'text', count: samples.rows, ...gathered(samples, column.leaf), valid: undefined };
  const { form } = column;
  return (form.form === 'list' ? evenRows(samples, column.leaf, form.item) : undefined) ?? tokenRows(samples, column);
}

/** All numbers at once; `undefined` where a row has a part of one. */
function evenRows(samples: LitdataSamples, leaf: number, item: IntegerType): Rows | undefined {
  const { bounds, bytes } = gathered(samples, leaf);
  if (bounds.some((bound) => bound % item.bytes !== 0)) return undefined;
  return {
    kind: 'tokens',
    count: samples.rows,
    bounds: bounds.map((bound) => bound / item.bytes),
    valid: undefined,
    ...tokenIds(bytes, item),
  };
}

/** Row by row. */
function tokenRows({ rows, leafOf }: LitdataSamples, column: LitdataColumn): Rows {
  const problems = new Map<number, string>();
  const lists: Int32Array[] = [];
  const bounds = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++) {
    const own = tokensOfLeaf(leafOf(row, column.leaf), column.form);
    if (typeof own === 'string') problems.set(row, `${own} in ${column.name}`);
    else lists.push(own);
    bounds[row + 1] = bounds[row] + (typeof own === 'string' ? 0 : own.length);
  }
  const ids = new Int32Array(bounds[rows]);
  let at = 0;
  for (const list of lists) {
    ids.set(list, at);
    at += list.length;
  }
  if (problems.size === 0) return { kind: 'tokens', count: rows, bounds, ids, valid: undefined, idsBelow: undefined };
  const valid = Uint8Array.from({ length: rows }, (_, row) => (problems.has(row) ? 0 : 1));
  return { kind: 'tokens', count: rows, bounds, ids, valid, problems, idsBelow: undefined };
}
