/** What is transferred where a slice, and what is beside it, crosses to a worker; and what of it is given back there. */
import { releaseBuffer } from '../core/raw-memory.js';
import { arrowBuffers, arrowColumns, arrowRecordBuffers } from './arrow/encoded-slice.js';
import type { EncodedSlice, FetchedBeside } from './decoder.js';
import { parquetChunks, type EncodedChunk } from './parquet/encoded-slice.js';

/** Of the same bytes, each once. */
export function buffersOf(slice: EncodedSlice, beside: FetchedBeside | undefined): ArrayBuffer[] {
  return [...new Set([...sliceBuffers(slice), ...(beside === undefined ? [] : besideBuffers(beside))])];
}

/**
 * Gives back the stored bytes of a slice whose rows, and what is beside them, were decoded: of formats whose rows are copies of them. The slice cannot be
 * decoded again.
 */
export function releaseStored(slice: EncodedSlice, beside: FetchedBeside | undefined): void {
  if (slice.format === 'parquet' && slice.kind !== 'records') chunkBuffers(slice).forEach(releaseBuffer);
  // records are read where they lie, and so is what is beside rows
  if (slice.format === 'webdataset' && slice.choice.kind !== 'records' && beside === undefined) sliceBuffers(slice).forEach(releaseBuffer);
}

/** Gives back the stored bytes that rows, or fields, of a slice were views of, once nobody reads them any more. */
export function releaseRead(slice: EncodedSlice, beside: FetchedBeside | undefined): void {
  if (slice.format === 'webdataset') sliceBuffers(slice).forEach(releaseBuffer);
  if (beside?.format === 'webdataset') besideBuffers(beside).forEach(releaseBuffer);
}

function sliceBuffers(slice: EncodedSlice): ArrayBuffer[] {
  switch (slice.format) {
    case 'parquet':
      return slice.kind === 'records' ? slice.leaves.flatMap(chunkBuffers) : chunkBuffers(slice);
    case 'lines':
      return [slice.bytes.buffer];
    case 'webdataset':
      return slice.runs.map(({ bytes }) => bytes.buffer);
    case 'mds':
      return [slice.bytes.buffer, slice.bounds.buffer];
    case 'arrow':
      return slice.kind === 'records' ? slice.columns.flatMap(arrowRecordBuffers) : arrowBuffers(slice);
    case 'array':
      return [slice.bytes.buffer, ...(typeof slice.bounds === 'number' ? [] : [slice.bounds.buffer])];
    case 'litdata':
      return [slice.bytes.buffer, slice.bounds.buffer];
    case 'omitted':
    case 'rejected':
      return [];
  }
}

function besideBuffers(beside: FetchedBeside): ArrayBuffer[] {
  switch (beside.format) {
    case 'parquet':
      return parquetChunks(beside).flatMap(chunkBuffers);
    case 'lines':
    case 'mds':
    case 'webdataset':
    case 'litdata':
      return sliceBuffers(beside.slice);
    case 'arrow':
      return arrowColumns(beside).flatMap(arrowBuffers);
  }
}

function chunkBuffers({ dictionary, pages }: EncodedChunk): ArrayBuffer[] {
  return [dictionary.buffer, pages.buffer];
}
