import { connect, type Batch } from 'headrace';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { paragraphs, texts } from '../../examples/corpus/prose.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { startSidecar } from '../support/sidecar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/reference.py', import.meta.url));

/** What two ranks receive in an epoch, against pyarrow and the Python tokenizers package. */
describe.skipIf(MINIO_BINARY === undefined || PYTHON === undefined)('content', () => {
  let workspace: Workspace;
  let minio: Minio;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    minio = await startMinio();
  });
  afterAll(async () => {
    await minio.stop();
    await workspace.remove();
  });

  it('over MinIO, 26 MB in eight shards of six codecs: every document once, with exactly the ids of the reference', async () => {
    // texts whole, and again by paragraph: long and short documents
    const documents = [...texts(), ...paragraphs()];
    expect(documents.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0)).toBeGreaterThan(26e6);
    await writeFile(workspace.path('documents.json'), JSON.stringify(documents));
    const data = workspace.path('data');
    execFileSync(PYTHON!, [SCRIPT, 'write', workspace.path('documents.json'), data]);
    for (const name of await readdir(data)) await minio.put(`corpus/${name}`, await readFile(`${data}/${name}`));

    const config = await workspace.config('headrace.yaml', {
      seed: 3,
      sources: { prose: { uri: `s3://${minio.bucket}/corpus/` } },
      tokenizer: { file: TOKENIZER_FILE },
      sequence: { length: 1024 },
      shuffle: { windowBytes: '1MiB' },
      batch: { size: 16 },
      epochs: 1,
      last: 'pad',
      storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
      cache: { dir: workspace.path('cache') },
      limits: { workers: 2 },
    });
    const address = `ipc://${workspace.path('s.sock')}`;
    const sidecar = await startSidecar(config, { address, env: minio.env });
    try {
      const received = new Map<string, number[]>();
      await Promise.all([0, 1].map((rank) => gather(connect({ address, rank, worldSize: 2 }), received)));
      const lines = [...received].map(([key, ids]) => `${key} ${createHash('sha256').update(Int32Array.from(ids)).digest('hex')}`);
      await writeFile(workspace.path('received.txt'), lines.sort().join('\n'));
      const reference = execFileSync(PYTHON!, [SCRIPT, 'tokens', data, TOKENIZER_FILE, '<|endoftext|>'], {
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      });
      const expected = reference.trimEnd().split('\n').sort();
      expect(expected).toHaveLength(documents.length);
      expect(lines).toHaveLength(documents.length);
      expect(lines.filter((line, i) => line !== expected[i])).toEqual([]);
    } finally {
      await sidecar.end();
    }
  }, 300_000);
});

/** Puts the pieces of each document together by their place in it; a token that came twice, or in the wrong place, is an error. */
async function gather(batches: AsyncIterable<Batch>, received: Map<string, number[]>): Promise<void> {
  for await (const { inputIds, cuSeqlens, segments } of batches) {
    for (let i = 0; i < cuSeqlens.length - 1; i++) {
      const [source, shard, row, start, length] = segments.subarray(6 * i, 6 * i + 6);
      if (source < 0) continue;
      const key = `${shard} ${row}`;
      let ids = received.get(key);
      if (ids === undefined) received.set(key, (ids = []));
      for (let token = 0; token < length; token++) {
        if (start + token in ids) throw new Error(`token ${start + token} of document ${key} came twice`);
        ids[start + token] = inputIds[cuSeqlens[i] + token];
      }
    }
  }
}
