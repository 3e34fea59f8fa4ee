/** From the bytes of slices to their rows, whatever their format: the worker's halves, each imported when a slice of its format first comes. */
import type { FormatName } from '../core/format.js';
import type { BesideColumns, EncodedSlice, FetchedBeside, FetchedSlice, SliceFormat, SliceRows, WorkerHalf } from './decoder.js';

/** The halves of the formats that it was asked for. Errors: `SHARD_INVALID`. */
export interface SliceDecoder {
  /** The rows of an omitted slice are empty texts, which hold the places of those that nobody asks for. */
  rows(slice: EncodedSlice): SliceRows;
  beside(beside: FetchedBeside): BesideColumns;
}

type Of<T, F extends SliceFormat> = Extract<T, { readonly format: F }>;

/** A format brings its libraries: all of them take a quarter of a second to import, and a run has one or two formats. */
const HALVES: { readonly [F in SliceFormat]: () => Promise<WorkerHalf<Of<FetchedSlice, F>, Of<FetchedBeside, F>>> } = {
  parquet: async () => (await import('./parquet/worker-half.js')).parquetHalf,
  arrow: async () => (await import('./arrow/worker-half.js')).arrowHalf,
  array: async () => (await import('./array/worker-half.js')).arrayHalf,
  litdata: async () => (await import('./litdata/worker-half.js')).litdataHalf,
  lines: async () => (await import('./lines/worker-half.js')).linesHalf,
  mds: async () => (await import('./mds/worker-half.js')).mdsHalf,
  webdataset: async () => (await import('./webdataset/worker-half.js')).webDatasetHalf,
};

/** How the slices of a format come. */
const SLICE_FORMATS: Readonly<Record<FormatName, SliceFormat>> = {
  parquet: 'parquet',
  arrow: 'arrow',
  webdataset: 'webdataset',
  mds: 'mds',
  litdata: 'litdata',
  npy: 'array',
  megatron: 'array',
  tokens: 'array',
  jsonl: 'lines',
  csv: 'lines',
  text: 'lines',
};

/** Imports what the slices of a format will need, ahead of the first. Rejects only where a module of ours is missing. */
export async function importSliceDecoder(format: FormatName): Promise<void> {
  await HALVES[SLICE_FORMATS[format]]();
}

/** Empty texts, which hold the places of rows that nobody asks for. */
export function omittedRows(count: number): SliceRows {
  return { kind: 'text', count, bounds: new Int32Array(count + 1), bytes: new Uint8Array(0), valid: undefined };
}

/** Rejects only where a module of ours is missing. */
export async function loadSliceDecoder(formats: readonly EncodedSlice['format'][]): Promise<SliceDecoder> {
  const wanted = [...new Set(formats)].filter((format) => format !== 'omitted' && format !== 'rejected');
  const halves = new Map(await Promise.all(wanted.map(async (format) => [format, (await HALVES[format]()) as WorkerHalf] as const)));
  const halfOf = (format: SliceFormat): WorkerHalf => {
    const half = halves.get(format);
    if (half === undefined) throw new Error(`the decoder was not loaded for ${format}`);
    return half;
  };
  return {
    rows: (slice) => {
      switch (slice.format) {
        case 'omitted':
          return omittedRows(slice.rows);
        case 'rejected':
          return { kind: 'rejected', count: slice.rows };
        default:
          return halfOf(slice.format).rows(slice);
      }
    },
    beside: (beside) => halfOf(beside.format).beside(beside),
  };
}
