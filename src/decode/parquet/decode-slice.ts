/** The worker's half of the Parquet decoder: pages in, rows out. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { DocumentIds, RecordRows, Rows } from '../decoder.js';
import { decodeIdsWithArrow, decodeLeafWithArrow, decodeWithArrow } from './arrow-slice.js';
import type { EncodedChunk, EncodedParquetIds, EncodedParquetRecords, EncodedParquetSlice } from './encoded-slice.js';
import { decodeLists } from './list-kernel.js';
import { checkPage, PageChecksumError, pagesOf } from './pages.js';
import { recordsOf } from './records.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  return decoded(slice, () => decodeLists(slice) ?? decodeWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetRecords({ rows: count, leaves }: EncodedParquetRecords): RecordRows {
  const recordAt = recordsOf(leaves.map((leaf) => decoded(leaf, () => decodeLeafWithArrow(leaf))));
  return {
    kind: 'records',
    count,
    at: (row) => {
      let isValidUtf8 = true;
      const found = decodedRow(leaves[0], row, () => recordAt(row, () => (isValidUtf8 = false)));
      return { row: found, isValidUtf8 };
    },
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
  return decoded(slice, () => decodeIdsWithArrow(slice));
}

function decoded<T>(slice: EncodedChunk, decode: () => T): T {
  const { uri, unit, dictionary, dictionaryByte, pages, pagesByte } = slice;
  checkPart(slice, dictionary, dictionaryByte);
  checkPart(slice, pages, pagesByte);
  try {
    return decode();
  } catch (error) {
    throw invalid(slice, `cannot decode column ${unit.path[0]} of ${uri}: ${messageOf(error)}`, { cause: error });
  }
}

/** Before anything is decoded: what is damaged may well decode, to something else. */
function checkPart(slice: EncodedChunk, part: Uint8Array, startByte: number): void {
  const { uri, unit } = slice;
  try {
    for (const page of pagesOf(part, unit.codec)) checkPage(page);
  } catch (error) {
    if (!(error instanceof PageChecksumError)) {
      throw invalid(slice, `cannot decode column ${unit.path[0]} of ${uri}: ${messageOf(error)}`, { cause: error });
    }
    const { offset, expected, found } = error;
    throw invalid(slice, `column ${unit.path[0]} of ${uri} is damaged at byte ${startByte + offset}: ${error.message}`, {
      detail: { startByte: startByte + offset, expected, found },
    });
  }
}

function invalid(
  { uri, unit }: EncodedChunk,
  message: string,
  { detail, cause }: { readonly detail?: Readonly<Record<string, number>>; readonly cause?: unknown },
): HeadraceError {
  return new HeadraceError('SHARD_INVALID', message, {
    detail: { uri, column: unit.path[0], ...detail },
    hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
    cause,
  });
}
