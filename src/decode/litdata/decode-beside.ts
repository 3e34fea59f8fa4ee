/** What is read of samples beside their rows: ids, fields, and what a filter compares. The worker's half of litData. */
import type { FieldDtype } from '../../core/fields.js';
import type { ColumnType, ColumnValue } from '../../core/filter/operand.js';
import type { BesideColumns, DocumentIds, FieldRows, FilterColumn } from '../decoder.js';
import { servedDtypeOf, storedNumberRows, type StoredNumbers } from '../stored-numbers.js';
import type { EncodedLitdataBeside } from './encoded-slice.js';
import type { LitdataField, LitdataId } from './layout.js';
import { nestedNumbers } from './nested.js';
import { numbersOfArray } from './numbers.js';
import { findLeaves, gathered, type LitdataSamples } from './samples.js';

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function decodeLitdataBeside({ slice, wanted }: EncodedLitdataBeside): BesideColumns {
  const samples = findLeaves(slice);
  const { id, fields = [], filter = [] } = slice.wanted;
  if (wanted.ids && id === undefined) throw new Error(`the index of ${slice.uri} was not asked for ids`);
  return {
    ids: wanted.ids && id !== undefined ? idsOf(samples, id) : undefined,
    fields: wanted.fields ? fields.map((field) => fieldRows(field, samples)) : undefined,
    filter: wanted.filter
      ? filter.map(({ column, leaf, type }): FilterColumn => ({ column, type, valueAt: (row) => comparedValue(samples, row, leaf, type) }))
      : undefined,
  };
}

function idsOf({ rows, leafOf, numberOf }: LitdataSamples, { leaf, isInteger }: LitdataId): DocumentIds {
  return Array.from({ length: rows }, (_, row) => {
    if (isInteger) return String(numberOf(row, leaf, 'int64'));
    const { buffer, byteOffset, length } = leafOf(row, leaf);
    return Buffer.from(buffer, byteOffset, length).toString('utf8');
  });
}

function fieldRows({ name, leaf, source, type }: LitdataField, samples: LitdataSamples): FieldRows {
  if (type.kind !== 'numbers') return { name, ...gathered(samples, leaf), rowBytes: 0, valid: undefined, problem: '' };
  const numbersAt = (row: number): StoredNumbers | undefined => {
    const stored = storedNumbers(samples, row, leaf, source);
    if (stored === undefined || source.form === 'number' || source.form === 'list') return stored;
    return isServedAs(type.dtype, source, stored) ? stored : undefined;
  };
  return storedNumberRows({ name, ...type }, samples.rows, numbersAt);
}

function storedNumbers(samples: LitdataSamples, row: number, leaf: number, source: LitdataField['source']): StoredNumbers | undefined {
  switch (source.form) {
    case 'number':
      return { dtype: source.dtype, bytes: samples.fixedOf(row, leaf, source.dtype) };
    case 'list':
      return { dtype: source.dtype, bytes: samples.leafOf(row, leaf) };
    case 'array':
      return numbersOfArray(samples.leafOf(row, leaf), source.of);
    case 'nested': {
      const numbers = nestedNumbers(samples.leafOf(row, leaf));
      return typeof numbers === 'string' ? undefined : numbers;
    }
    case 'bytes':
      return undefined;
  }
}

/** Whether numbers that a row says the type of are what is served. Whole numbers of a list of Python may stand for fractions. */
function isServedAs(served: FieldDtype, { form }: LitdataField['source'], { dtype }: StoredNumbers): boolean {
  if (dtype === 'uint64') return false;
  return servedDtypeOf(dtype, true) === served || (form === 'nested' && dtype === 'int64' && served === 'float32');
}

function comparedValue({ leafOf, numberOf }: LitdataSamples, row: number, leaf: number, { kind }: ColumnType): ColumnValue {
  switch (kind) {
    case 'text':
      return leafOf(row, leaf);
    case 'boolean':
      return numberOf(row, leaf, 'uint8') !== 0;
    case 'integer':
      return numberOf(row, leaf, 'int64');
    default:
      return numberOf(row, leaf, 'float64');
  }
}
