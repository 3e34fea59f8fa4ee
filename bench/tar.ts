/** `npm run bench -- tar [MIB]`: how fast a tar of text is indexed and decoded in one thread, beside webdataset's reader of the same file. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Shard } from '../src/core/shard.js';
import { loadSliceDecoder } from '../src/decode/slice-decoder.js';
import { scanHere } from '../src/decode/scan.js';
import { createWebDatasetDecoder } from '../src/decode/webdataset/block-reader.js';
import { fileStore } from '../src/store/file.js';

const halves = await loadSliceDecoder(['webdataset']);
const ROWS_ONLY = { rows: true, ids: false, fields: false, filter: false };

const SCRIPT = fileURLToPath(new URL('../../bench/tar.py', import.meta.url));
const python = process.env.HEADRACE_PYTHON ?? 'python3';
const mib = process.argv[2] ?? '256';
const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
try {
  const file = path.join(dir, 'text.tar');
  execFileSync(python, [SCRIPT, 'write', file, mib]);
  const store = fileStore();
  const decoder = createWebDatasetDecoder(scanHere);
  const object = await store.head(file);
  const say = (what: string, seconds: number): void =>
    console.log(`${what}: ${(object.size / seconds / 1e6).toFixed(0)} MB/s of the archive`);
  for (let round = 0; round < 3; round++) {
    let started = performance.now();
    const shard: Shard = {
      path: file,
      uri: `file://${file}`,
      size: object.size,
      etag: object.etag,
      ...(await decoder.index(store, object, { column: 'txt', kind: 'text' })),
    };
    say('index, one pass', (performance.now() - started) / 1000);
    let [rows, reading] = [0, 0];
    started = performance.now();
    for (const [unit, { startRow, rows: count, decodedBytes }] of shard.units.entries()) {
      const block = { shard: 0, unit, startRow, endRow: startRow + count, decodedBytes };
      const before = performance.now();
      const reader = decoder.openBlock(store, file, shard, block);
      const { slice } = await reader.read(startRow, startRow + count, ROWS_ONLY, new AbortController().signal);
      if (slice === undefined) throw new Error('there are no rows');
      reading += performance.now() - before;
      const decoded = halves.rows(slice);
      rows += decoded.count;
    }
    const whole = performance.now() - started;
    say('read and decode', whole / 1000);
    say('decode alone', (whole - reading) / 1000);
    console.log(`${rows} rows`);
  }
  const theirs = JSON.parse(execFileSync(python, [SCRIPT, 'read', file], { encoding: 'utf8' })) as {
    readonly rows: number;
    readonly seconds: number;
  };
  say(`webdataset (${theirs.rows} rows)`, theirs.seconds);
} finally {
  await rm(dir, { recursive: true });
}
