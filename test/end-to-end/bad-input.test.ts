import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/index.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';
import { freePort } from '../support/server-process.js';
import { writeShards } from '../../examples/corpus/parquet.js';
import { runCli, startSidecar } from '../support/sidecar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

/** What a person sees at 3 a.m.: one clear error, its code, a hint, a status that is not zero, and no stack trace. */
describe('headrace serve, given something wrong', () => {
  let workspace: Workspace;

  const good = (): ConfigInput => ({
    sources: { prose: { uri: workspace.path('data/') } },
    tokenizer: { file: TOKENIZER_FILE },
    batch: { size: 4 },
    cache: { dir: workspace.path('cache') },
    serve: { address: `ipc://${workspace.path('bad.sock')}` },
  });

  async function failure(config: unknown, env: Record<string, string> = {}, run: typeof runCli = runCli): Promise<string> {
    const file = await workspace.config('bad.yaml', config as ConfigInput);
    const { code, out, err } = await run(['serve', file, '--log-level', 'error'], env);
    expect(code, err).toBe(1);
    expect(out).toBe('');
    expect(err).not.toMatch(/^\s+at /m);
    return err;
  }

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('data'), sampleDocuments(20), 2, 10);
    await mkdir(workspace.path('other'));
    await writeFile(workspace.path('other', 'notes.txt'), 'no shard');
    await writeFile(workspace.path('fake.parquet'), 'x'.repeat(5000));
    await writeFile(workspace.path('broken.json'), '{"model": ');
    await writeFile(workspace.path('empty.json'), '{}');
  });
  afterAll(() => workspace.remove());

  it.each<[string, (config: ConfigInput) => unknown, RegExp]>([
    [
      'a file that is no Parquet',
      (c) => ({ ...c, sources: { a: { uri: workspace.path('fake.parquet') } } }),
      /error SHARD_INVALID: .*fake\.parquet.*PAR1/,
    ],
    [
      'a column that is not there',
      (c) => ({ ...c, sources: { a: { uri: workspace.path('data/'), text: 'txet' } } }),
      /error COLUMN_MISSING: .*txet[^]*Did you mean text/,
    ],
    [
      'a column of another type',
      (c) => ({ ...c, sources: { a: { uri: workspace.path('data/'), tokens: 'text' } } }),
      /error COLUMN_TYPE: /,
    ],
    ['no shard', (c) => ({ ...c, sources: { a: { uri: workspace.path('other/') } } }), /error NO_SHARDS: [^]*notes\.txt/],
    ['no directory', (c) => ({ ...c, sources: { a: { uri: workspace.path('nowhere/') } } }), /error STORE_NOT_FOUND: .*nowhere/],
    ['a scheme nobody knows', (c) => ({ ...c, sources: { a: { uri: 'gopher://x/y' } } }), /error CONFIG_INVALID: gopher/],
    ['an unknown key', (c) => ({ ...c, sequnce: { length: 3 } }), /error CONFIG_INVALID: unknown key sequnce \(did you mean sequence\?\)/],
    [
      'an unknown key of a source',
      (c) => ({ ...c, sources: { a: { uri: 'x/', txt: 'text' } } }),
      /unknown key sources\.a\.txt \(did you mean text\?\)/,
    ],
    ['an unknown key under shuffle', (c) => ({ ...c, shuffle: { block: 3 } }), /unknown key shuffle\.block \(did you mean blocks\?\)/],
    ['a number that cannot be', (c) => ({ ...c, sequence: { length: -1 } }), /error CONFIG_INVALID: sequence\.length/],
    ['a size that is none', (c) => ({ ...c, shuffle: { windowBytes: 'lots' } }), /error CONFIG_INVALID: shuffle\.windowBytes: .*64MiB/],
    ['lanes that do not divide the batch', (c) => ({ ...c, batch: { size: 4, lanes: 3 } }), /error CONFIG_INVALID: batch\.lanes \(3\)/],
    [
      'an environment variable that is not set',
      (c) => ({ ...c, tokenizer: { file: '${HEADRACE_NOT_SET}/t.json' } }),
      /HEADRACE_NOT_SET.*not set/,
    ],
    ['text without a tokenizer', ({ tokenizer: _tokenizer, ...c }) => c, /error CONFIG_INVALID: .*tokenizer\.file is needed/],
    [
      'a tokenizer that is not there',
      (c) => ({ ...c, tokenizer: { file: workspace.path('none.json') } }),
      /error STORE_NOT_FOUND: .*none\.json/,
    ],
    [
      'a tokenizer that is no JSON',
      (c) => ({ ...c, tokenizer: { file: workspace.path('broken.json') } }),
      /error TOKENIZER_INVALID: .*broken\.json/,
    ],
    [
      'a tokenizer that is none',
      (c) => ({ ...c, tokenizer: { file: workspace.path('empty.json') } }),
      /error TOKENIZER_INVALID: .*empty\.json.*model/,
    ],
    [
      'an end-of-sequence token that is none',
      (c) => ({ ...c, tokenizer: { file: TOKENIZER_FILE, eos: '<|endoftxt|>' } }),
      /error TOKENIZER_INVALID: .*it has <\|endoftext\|>/,
    ],
    ['an address of another machine', (c) => ({ ...c, serve: { address: 'tcp://0.0.0.0:7070' } }), /error ADDRESS_INVALID: /],
    [
      'a socket path that is too long',
      (c) => ({ ...c, serve: { address: `ipc:///tmp/${'x'.repeat(120)}` } }),
      /error ADDRESS_INVALID: .*103/,
    ],
    [
      'a socket path that is a file',
      (c) => ({ ...c, serve: { address: `ipc://${workspace.path('fake.parquet')}` } }),
      /error ADDRESS_INVALID: .*no socket/,
    ],
  ])('%s', async (_name, change, expected) => {
    expect(await failure(change(good()), {}, runCommand)).toMatch(expected);
  });

  it('a configuration that is not there, or no YAML', async () => {
    const missing = await runCli(['serve', workspace.path('none.yaml')]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringMatching(/error CONFIG_NOT_FOUND: /)]);
    await writeFile(workspace.path('no.yaml'), 'sources: [unclosed\n  x: {');
    const broken = await runCli(['serve', workspace.path('no.yaml')]);
    expect([broken.code, broken.err]).toEqual([1, expect.stringMatching(/error CONFIG_INVALID: .*not valid YAML/)]);
  });

  it('shows the stack trace to who asks for it', async () => {
    expect((await runCli(['--debug', 'serve', workspace.path('none.yaml')])).err).toMatch(/^\s+at /m);
  });

  it('an address that another sidecar has; and takes over a socket that a killed one left', async () => {
    const file = await workspace.config('first.yaml', good());
    const first = await startSidecar(file);
    expect(await failure(good())).toMatch(/error ADDRESS_IN_USE: /);
    await first.end('SIGKILL');
    const second = await startSidecar(file);
    expect(await second.end()).toBe(0);
  });

  it('a TCP port, and a metrics port, that are taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    expect(await failure({ ...good(), serve: { address: `tcp://127.0.0.1:${port}` } })).toMatch(/error ADDRESS_IN_USE: /);
    expect(await failure({ ...good(), serve: { ...good().serve, metrics: `127.0.0.1:${port}` } })).toMatch(/error ADDRESS_IN_USE: /);
    server.close();
  });

  it('an endpoint where nobody answers', async () => {
    const config = {
      ...good(),
      sources: { a: { uri: 's3://bucket/x/' } },
      storage: { s3: { endpoint: `http://127.0.0.1:${await freePort()}`, forcePathStyle: true } },
    };
    expect(await failure(config, { AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' })).toMatch(
      /error STORE_UNREACHABLE: .*gave up after 7 of 7 attempts/,
    );
  }, 120_000);

  it.skipIf(MINIO_BINARY === undefined)('a bucket that is missing, and one that is denied', async () => {
    const minio = await startMinio();
    try {
      const of = (bucket: string): unknown => ({
        ...good(),
        sources: { a: { uri: `s3://${bucket}/x/` } },
        storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
      });
      expect(await failure(of('no-such-bucket'), minio.env, runCommand)).toMatch(/error STORE_NOT_FOUND: .*bucket/);
      expect(await failure(of(minio.bucket), { ...minio.env, AWS_SECRET_ACCESS_KEY: 'wrong' })).toMatch(
        /error STORE_DENIED: [^]*credentials/,
      );
    } finally {
      await minio.stop();
    }
  });
});
