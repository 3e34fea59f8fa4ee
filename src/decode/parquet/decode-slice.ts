/** The worker's half of the Parquet decoder: pages in, rows out. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { DocumentIds, FilterColumn, Rows } from '../decoder.js';
import { decodeFilterColumnWithArrow, decodeIdsWithArrow, decodeWithArrow } from './arrow-slice.js';
import type { EncodedChunk, EncodedParquetFilterColumn, EncodedParquetIds, EncodedParquetSlice } from './encoded-slice.js';
import { decodeLists } from './list-kernel.js';
import { nameOfColumn } from './column.js';
import { checkPage, PageChecksumError, pagesOf } from './pages.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  return decoded(slice, () => decodeLists(slice) ?? decodeWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetIds(slice: EncodedParquetIds): DocumentIds {
  return decoded(slice, () => decodeIdsWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetFilterColumn(column: EncodedParquetFilterColumn): FilterColumn {
  return decoded(column, () => decodeFilterColumnWithArrow(column));
}

function decoded<T>(slice: EncodedChunk, decode: () => T): T {
  const { uri, schema, dictionary, dictionaryByte, pages, pagesByte } = slice;
  checkPart(slice, dictionary, dictionaryByte);
  checkPart(slice, pages, pagesByte);
  try {
    return decode();
  } catch (error) {
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
  { uri, schema }: EncodedChunk,
  message: string,
  { detail, cause }: { readonly detail?: Readonly<Record<string, number>>; readonly cause?: unknown },
): HeadraceError {
  return new HeadraceError('SHARD_INVALID', message, {
    detail: { uri, column: nameOfColumn(schema), ...detail },
    hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
    cause,
  });
}
