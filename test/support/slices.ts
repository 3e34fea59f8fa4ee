/** Reads slices through a reader, as a window loader does, and decodes them, as a worker does. */
import type { BesideColumns, BlockReader, DocumentIds, FetchedRows, FetchedSlice, Wanted } from '../../src/decode/decoder.js';
import { loadSliceDecoder } from '../../src/decode/slice-decoder.js';

const never = new AbortController().signal;

const NOTHING: Wanted = { rows: false, ids: false, fields: false, filter: false };

/** Of every format. */
export const { rows: decodeSlice, beside: decodeBeside } = await loadSliceDecoder([
  'parquet',
  'arrow',
  'array',
  'lines',
  'mds',
  'webdataset',
  'litdata',
]);

export function readSlices(
  reader: BlockReader,
  startRow: number,
  endRow: number,
  wanted: Partial<Wanted>,
  signal: AbortSignal = never,
): Promise<FetchedRows> {
  return reader.read(startRow, endRow, { ...NOTHING, ...wanted }, signal);
}

export async function sliceOf(reader: BlockReader, startRow: number, endRow: number, signal: AbortSignal = never): Promise<FetchedSlice> {
  const { slice } = await readSlices(reader, startRow, endRow, { rows: true }, signal);
  if (slice === undefined) throw new Error('rows were asked for, and there are none');
  return slice;
}

export async function besideOf(reader: BlockReader, startRow: number, endRow: number, wanted: Partial<Wanted>): Promise<BesideColumns> {
  const { beside } = await readSlices(reader, startRow, endRow, wanted);
  // a structured clone, as it crosses to a worker
  return beside === undefined ? {} : decodeBeside(structuredClone(beside));
}

/** Both of the same rows: a reader is asked for them once. */
export async function rowsAndIds(
  reader: BlockReader,
  startRow: number,
  endRow: number,
): Promise<{ readonly slice: FetchedSlice; readonly ids: DocumentIds }> {
  const { slice, beside } = structuredClone(await readSlices(reader, startRow, endRow, { rows: true, ids: true }));
  const { ids } = beside === undefined ? {} : decodeBeside(beside);
  if (slice === undefined || ids === undefined) throw new Error('rows and ids were asked for');
  return { slice, ids };
}

export async function idsOf(reader: BlockReader, startRow: number, endRow: number): Promise<DocumentIds> {
  const { ids } = await besideOf(reader, startRow, endRow, { ids: true });
  if (ids === undefined) throw new Error('ids were asked for, and there are none');
  return ids;
}
