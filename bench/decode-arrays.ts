/**
 * Arrow and files of token ids: how fast one thread makes rows of what was fetched, beside pyarrow and NumPy on the same files.
 * `HEADRACE_PYTHON=… npm run bench -- decode-arrays [MIB]`. In CPU seconds; fetching is from memory, and told apart.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Shard } from '../src/core/shard.js';
import type { ColumnRequest } from '../src/decode/decoder.js';
import { loadSliceDecoder } from '../src/decode/slice-decoder.js';
import { openDecoders } from '../src/decode/open-decoders.js';
import { scanHere } from '../src/decode/scan.js';
import type { FormatName } from '../src/core/format.js';
import { memoryStore } from '../src/store/memory.js';

const halves = await loadSliceDecoder(['arrow', 'array', 'parquet']);
const ROWS_ONLY = { rows: true, ids: false, fields: false, filter: false };

const SCRIPT = fileURLToPath(new URL('../../bench/decode_arrays.py', import.meta.url));
/** A slice of the default window: 16 MiB in 8 slices. */
const SLICE_BYTES = 2 * 2 ** 20;
const REPEATS = 3;

const array = (options: ColumnRequest['options'] = {}): ColumnRequest => ({
  column: '',
  kind: 'tokens',
  options: { rowTokens: 2048, wholeRows: false, ...options },
});

const CASES: readonly (readonly [label: string, file: string, format: FormatName, request: ColumnRequest])[] = [
  ['Arrow text, uncompressed', 'text.arrow', 'arrow', { column: 'text', kind: 'text' }],
  ['Arrow text, LZ4', 'lz4.arrow', 'arrow', { column: 'text', kind: 'text' }],
  ['.bin uint16, rows of 2048', 'ids.bin', 'tokens', array({ dtype: 'uint16' })],
  ['.bin uint16, documents', 'ids.bin', 'tokens', array({ dtype: 'uint16', eosId: 0 })],
  ['.npy uint16, rows of 2048', 'ids.npy', 'npy', array()],
  ['Megatron uint16', 'ids.idx', 'megatron', array()],
];

/** Of this process: a machine that others use as well says little by its clock. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function measure(
  files: Readonly<Record<string, Uint8Array>>,
  file: string,
  format: FormatName,
  request: ColumnRequest,
): Promise<string> {
  const store = memoryStore('memory://bench/', files);
  const { signal } = new AbortController();
  const decoder = await openDecoders(scanHere).load(format);
  const object = await store.head(file);
  const started = performance.now();
  const shard: Shard = { path: file, uri: file, size: object.size, etag: object.etag, ...(await decoder.index(store, object, request)) };
  const indexMs = performance.now() - started;
  let amount = 0;
  let fetchMs = 0;
  let decodeMs = 0;
  for (const [unit, { startRow, rows, decodedBytes }] of shard.units.entries()) {
    const endRow = startRow + rows;
    const reader = decoder.openBlock(store, file, shard, { shard: 0, unit, startRow, endRow, decodedBytes });
    const step = Math.ceil(rows / Math.max(1, Math.ceil(decodedBytes / SLICE_BYTES)));
    for (let row = startRow; row < endRow; row += step) {
      const fetching = cpuMs();
      const { slice } = await reader.read(row, Math.min(endRow, row + step), ROWS_ONLY, signal);
      if (slice === undefined) throw new Error('there are no rows');
      const decoding = cpuMs();
      const decoded = halves.rows(slice);
      decodeMs += cpuMs() - decoding;
      fetchMs += decoding - fetching;
      if (decoded.kind === 'text' || decoded.kind === 'tokens') amount += decoded.bounds[decoded.count];
    }
  }
  const unit = request.kind === 'text' ? 'MB/s' : 'M ids/s';
  const rate = (ms: number): string => (amount / 1e3 / ms).toFixed(0);
  return `decoded at ${rate(decodeMs)} ${unit}, with the main thread's part (copies from memory) ${rate(decodeMs + fetchMs)}; index ${indexMs.toFixed(0)} ms`;
}

const [mib = '128'] = process.argv.slice(2);
const python = process.env.HEADRACE_PYTHON ?? 'python3';
const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
try {
  execFileSync(python, [SCRIPT, 'write', dir, mib]);
  process.stdout.write(execFileSync(python, [SCRIPT, 'read', dir], { encoding: 'utf8' }));
  const files: Record<string, Uint8Array> = {};
  for (const name of ['text.arrow', 'lz4.arrow', 'ids.bin', 'ids.npy', 'ids.idx'])
    files[name] = new Uint8Array(await readFile(path.join(dir, name)));
  for (const [label, file, format, request] of CASES) {
    for (let repeat = 0; repeat < REPEATS; repeat++) console.log(`${label}: ${await measure(files, file, format, request)}`);
  }
} finally {
  await rm(dir, { recursive: true });
}
