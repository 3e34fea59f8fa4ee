/**
 * Which rows of a window a stream takes: those of its split that the source's filter takes and no list excludes. Pure; a row's fate depends on its shard,
 * its number, its id and its values only, so it is the same in every epoch, at any seed and on any machine.
 */
import { resolve, TRUE, truthsOf, UNKNOWN, type Condition, type Filter, type Truths } from '../core/filter/filter.js';
import { conditionTest } from '../core/filter/operand.js';
import { partitionsOf, partitionTruth } from '../core/filter/partitions.js';
import { deriveKey } from '../core/keyed-random.js';
import { mix } from '../core/permutation.js';
import { firstRowFrom, isExcludedId, rowNumber, type ExcludedDocuments } from './excluded.js';
import type { FilterColumn } from '../decode/decoder.js';
import { hashId } from './id-hash.js';

export type Split = 'train' | 'validation';

/** A share of the documents that is held out of training. */
export interface HeldOut {
  readonly share: number;
  readonly by: 'id' | 'row';
  readonly seed: number;
}

/** Crosses to worker threads; the numbers in `excluded` by reference. */
export interface RowSelection {
  /** Name of the source. */
  readonly source: string;
  readonly split: Split;
  readonly excluded: ExcludedDocuments | undefined;
  readonly heldOut: HeldOut | undefined;
  /** `undefined`: it takes all rows. */
  readonly where?: Filter | undefined;
}

/** Rows [startRow, startRow + rows) of a shard. */
export interface RowRange {
  /** Index into the source's shards. */
  readonly shard: number;
  /** Of the shard, below the source's root. */
  readonly path: string;
  readonly startRow: number;
  readonly rows: number;
}

/** What becomes of a row. */
export const ROW_TAKEN = 0;
export const ROW_EXCLUDED = 1;
/** It belongs to the other split. */
export const ROW_OF_OTHER_SPLIT = 2;
/** The filter does not take it. */
export const ROW_FILTERED = 3;

const WORD_END = 2 ** 32;

/** Whether the ids of the rows are asked for. */
export function needsIds({ excluded, heldOut }: RowSelection): boolean {
  return excluded?.ids !== undefined || heldOut?.by === 'id';
}

/**
 * The fate of each row. `ids` by row, where `needsIds`; a row without an id is in no list of ids, and is never held out by id. `columns`: those that the
 * filter reads; `undefined`: it takes all of the rows.
 */
export function fatesOf(
  selection: RowSelection,
  range: RowRange,
  ids: readonly (string | null)[] | undefined,
  columns?: readonly FilterColumn[],
): Uint8Array {
  const { excluded, heldOut, split, where } = selection;
  const fates = new Uint8Array(range.rows);
  if (where !== undefined && columns !== undefined) {
    const isTaken = filterTest(where, range, columns);
    for (let i = 0; i < fates.length; i++) if (!isTaken(i) && !columns.some((column) => column.isBad?.(i))) fates[i] = ROW_FILTERED;
  }
  if (heldOut !== undefined) {
    const isHeldOut = heldOutTest(selection.source, heldOut, range, ids);
    for (let i = 0; i < fates.length; i++) {
      if (fates[i] === ROW_TAKEN && isHeldOut(i) !== (split === 'validation')) fates[i] = ROW_OF_OTHER_SPLIT;
    }
  }
  if (excluded?.rows !== undefined) excludeRows(fates, excluded.rows, range);
  if (excluded?.ids !== undefined) excludeIds(fates, excluded.ids, ids);
  return fates;
}

function filterTest(where: Filter, { path }: RowRange, columns: readonly FilterColumn[]): (index: number) => boolean {
  const partitions = partitionsOf(path);
  const filter = resolve(where, (condition) => partitionTruth(condition, partitions));
  const byName = new Map(columns.map((column) => [column.column, column]));
  const tests = new Map<Condition, (index: number) => Truths>();
  truthsOf(filter, (condition) => {
    const column = byName.get(condition.column);
    if (column === undefined) throw new Error(`column ${condition.column} was not read for the filter`);
    const test = conditionTest(condition, column.type);
    tests.set(condition, (index) => test(column.valueAt(index)));
    return TRUE;
  });
  return (index) => truthsOf(filter, (condition) => tests.get(condition)?.(index) ?? UNKNOWN) === TRUE;
}

function heldOutTest(
  source: string,
  { share, by, seed }: HeldOut,
  { path, startRow }: RowRange,
  ids: readonly (string | null)[] | undefined,
): (index: number) => boolean {
  const end = Math.round(share * WORD_END);
  if (by === 'row') {
    const [key0, key1] = deriveKey('validation row', seed, source, path);
    return (index) => mix(mix((startRow + index) ^ key0) ^ key1) < end;
  }
  const key = Buffer.from(deriveKey('validation id', seed, source).buffer).toString('hex');
  return (index) => {
    const id = ids?.[index] ?? null;
    return id !== null && hashId(key, id)[0] < end;
  };
}

function excludeRows(fates: Uint8Array, rows: Float64Array, { shard, startRow }: RowRange): void {
  const first = rowNumber(shard, startRow);
  for (let at = firstRowFrom(rows, first); at < rows.length && rows[at] < first + fates.length; at++) {
    if (fates[rows[at] - first] === ROW_TAKEN) fates[rows[at] - first] = ROW_EXCLUDED;
  }
}

function excludeIds(fates: Uint8Array, excludedIds: Uint32Array, ids: readonly (string | null)[] | undefined): void {
  for (let i = 0; i < fates.length; i++) {
    const id = ids?.[i] ?? null;
    if (id !== null && fates[i] === ROW_TAKEN && isExcludedId(excludedIds, id)) fates[i] = ROW_EXCLUDED;
  }
}
