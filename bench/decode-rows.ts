/** A file in memory, indexed and decoded to rows in this thread, as a pipeline does it. */
import type { FormatName } from '../src/core/format.js';
import type { Shard } from '../src/core/shard.js';
import { releaseStored } from '../src/decode/buffers.js';
import type { ColumnRequest } from '../src/decode/decoder.js';
import { openDecoders } from '../src/decode/open-decoders.js';
import { scanHere } from '../src/decode/scan.js';
import { loadSliceDecoder } from '../src/decode/slice-decoder.js';
import { memoryStore } from '../src/store/memory.js';

const halves = await loadSliceDecoder(['parquet', 'lines', 'webdataset', 'arrow', 'array']);
const ROWS_ONLY = { rows: true, ids: false, fields: false, filter: false };

export interface BenchFile {
  readonly format: FormatName;
  /** Its name. */
  readonly file: string;
  readonly request: ColumnRequest;
}

export async function indexOf({ format, file, request }: BenchFile, bytes: Uint8Array): Promise<Shard> {
  const store = memoryStore('memory:///', { [file]: bytes });
  const object = await store.head(file);
  const index = await (await openDecoders(scanHere).load(format)).index(store, object, request);
  return { path: file, uri: `memory:///${file}`, size: object.size, etag: object.etag, ...index };
}

/** Answers with the milliseconds of the worker's part: the rest is the main thread's, which here copies what it reads from memory. */
export async function decodeAll({ format, file }: BenchFile, bytes: Uint8Array, shard: Shard): Promise<number> {
  const store = memoryStore('memory:///', { [file]: bytes });
  const decoder = await openDecoders(scanHere).load(format);
  const { signal } = new AbortController();
  let workerMs = 0;
  for (const [unit, { startRow, rows, decodedBytes }] of shard.units.entries()) {
    const block = { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes };
    const { slice } = await decoder.openBlock(store, file, shard, block).read(startRow, block.endRow, ROWS_ONLY, signal);
    if (slice === undefined) continue;
    const started = performance.now();
    const decoded = halves.rows(slice);
    workerMs += performance.now() - started;
    // as a worker does, when it has decoded a window and when it closes one
    releaseStored(slice, undefined);
    if (decoded.kind === 'tokens' || decoded.kind === 'text') decoded.release?.();
  }
  return workerMs;
}
