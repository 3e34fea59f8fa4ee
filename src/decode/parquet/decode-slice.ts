/** The worker's half of the Parquet decoder: pages in, rows out. */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { DocumentIds, FilterColumn, RecordRows, Rows } from '../decoder.js';
import { decodeFilterColumnWithArrow, decodeIdsWithArrow, decodeLeafWithArrow, decodeWithArrow } from './arrow-slice.js';
import type {
  EncodedChunk,
  EncodedParquetFilterColumn,
  EncodedParquetIds,
  EncodedParquetRecords,
  EncodedParquetSlice,
} from './encoded-slice.js';
import { decodedRecord } from '../record-values.js';
import { decodeLists } from './list-kernel.js';
import { nameOfColumn } from './column.js';
import { checkPage, PageChecksumError, pagesOf } from './pages.js';
import { recordsOf } from './records.js';
import { decodeTexts } from './text-pages.js';

const HINT = 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.';
/** Hadoop cuts what it compresses into blocks (of 256 KiB, by default): pages of several are whole, but parquet-wasm fails on them. */
const HINT_LZ4 = 'It may be whole: of the older LZ4, pages with several blocks are not read. Write it with LZ4_RAW or ZSTD.';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  const decode = (): Rows | undefined => (slice.kind === 'text' ? decodeTexts(slice, LIMITS.documentBytesMax) : decodeLists(slice));
  return decodeChunk(slice, () => decode() ?? decodeWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetRecords({ rows: count, leaves }: EncodedParquetRecords): RecordRows {
  const recordAt = recordsOf(leaves.map((leaf) => decodeChunk(leaf, () => decodeLeafWithArrow(leaf))));
  return {
    kind: 'records',
    count,
    at: (row) => decodedRow(leaves[0], row, () => decodedRecord((onInvalidUtf8) => recordAt(row, onInvalidUtf8))),
  };
}

function decodedRow<T>(slice: EncodedChunk, row: number, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw invalid(slice, `cannot read row ${row} of a slice of ${slice.uri}: ${messageOf(error)}`, { cause: error });
  }
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetIds(slice: EncodedParquetIds): DocumentIds {
  return decodeChunk(slice, () => decodeIdsWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetFilterColumn(column: EncodedParquetFilterColumn): FilterColumn {
  return decodeChunk(column, () => decodeFilterColumnWithArrow(column));
}

/** Of any column. Errors: `SHARD_INVALID`, for whatever `decode` throws; `INTERNAL`, where that cannot load what it needs. */
export function decodeChunk<T>(slice: EncodedChunk, decode: () => T): T {
  const { uri, schema, dictionary, dictionaryByte, pages, pagesByte } = slice;
  checkPart(slice, dictionary, dictionaryByte);
  checkPart(slice, pages, pagesByte);
  try {
    return decode();
  } catch (error) {
    if (error instanceof HeadraceError && error.code === 'INTERNAL') throw error;
    throw invalid(slice, `cannot decode column ${nameOfColumn(schema)} of ${uri}: ${messageOf(error)}`, { cause: error });
  }
}

/** Before anything is decoded: what is damaged may well decode, to something else. */
function checkPart(slice: EncodedChunk, part: Uint8Array, startByte: number): void {
  const { uri, unit, schema } = slice;
  try {
    for (const page of pagesOf(part, unit.codec)) checkPage(page);
  } catch (error) {
    if (!(error instanceof PageChecksumError)) {
      throw invalid(slice, `cannot decode column ${nameOfColumn(schema)} of ${uri}: ${messageOf(error)}`, { cause: error });
    }
    const { offset, expected, found } = error;
    throw invalid(slice, `column ${nameOfColumn(schema)} of ${uri} is damaged at byte ${startByte + offset}: ${error.message}`, {
      detail: { startByte: startByte + offset, expected, found },
    });
  }
}

function invalid(
  { uri, schema, unit }: EncodedChunk,
  message: string,
  { detail, cause }: { readonly detail?: Readonly<Record<string, number>>; readonly cause?: unknown },
): HeadraceError {
  return new HeadraceError('SHARD_INVALID', message, {
    detail: { uri, column: nameOfColumn(schema), ...detail },
    hint: unit.codec === 'LZ4' ? HINT_LZ4 : HINT,
    cause,
  });
}
