/** Writes Parquet files with hyparquet-writer, for tests, the demo and benchmarks. */
import { parquetWriteBuffer } from 'hyparquet-writer';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CorpusDocument } from './prose.js';

/** One file of documents, with a column beside the text that nobody asks for. */
export function parquetOf(documents: readonly CorpusDocument[], rowGroupSize: number): Uint8Array {
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'id', data: documents.map((document) => document.id), type: 'STRING' },
      { name: 'text', data: documents.map((document) => document.text), type: 'STRING' },
      { name: 'ballast', data: documents.map((document) => `${document.id} `.repeat(20)), type: 'STRING' },
    ],
    rowGroupSize,
  });
  return new Uint8Array(buffer);
}

/** Deals the documents to `shards` files of a directory, as `part-000.parquet` …; answers with their bytes by name. */
export async function writeShards(
  dir: string,
  documents: readonly CorpusDocument[],
  shards: number,
  rowGroupSize: number,
): Promise<Map<string, Uint8Array>> {
  await mkdir(dir, { recursive: true });
  const files = new Map<string, Uint8Array>();
  for (let shard = 0; shard < shards; shard++) {
    const own = documents.filter((_, i) => i % shards === shard);
    const name = `part-${String(shard).padStart(3, '0')}.parquet`;
    const bytes = parquetOf(own, rowGroupSize);
    files.set(name, bytes);
    await writeFile(path.join(dir, name), bytes);
  }
  return files;
}
