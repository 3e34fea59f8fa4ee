import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/store/memory.js';
import { withCache } from '../../src/store/with-cache.js';
import { bytesOf, filesOf, openCache, temporaryDir } from './support.js';

const CLI = fileURLToPath(new URL('../../dist/command/headrace.js', import.meta.url));

describe('headrace cache', () => {
  let dir: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ dir, remove } = await temporaryDir());
    const cache = openCache(path.join(dir, 'ranges'));
    const store = withCache(memoryStore('memory://corpus/', { 'a.parquet': bytesOf(1, 5000) }), cache);
    for (const startByte of [0, 1000, 2000]) await store.read('a.parquet', { startByte, endByte: startByte + 1000 }, { ifMatch: 'v1' });
    await cache.close();
  });
  afterEach(() => remove());

  const run = async (
    ...args: string[]
  ): Promise<{ readonly status: number; readonly lines: readonly unknown[]; readonly errors: string }> => {
    const result = await promisify(execFile)(process.execPath, [CLI, 'cache', '--json', '--dir', dir, ...args]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: unknown) => error as { readonly code: number; readonly stdout: string; readonly stderr: string },
    );
    const lines = result.stdout.split('\n').filter((line) => line !== '');
    return { status: result.code, lines: lines.map((line) => JSON.parse(line) as unknown), errors: result.stderr };
  };

  it('lists entries by what they are of, counts them, checks them, and deletes them', async () => {
    const { lines } = await run('ls');
    expect(lines).toHaveLength(3);
    expect(lines).toContainEqual({
      uri: 'memory://corpus/a.parquet',
      etag: 'v1',
      startByte: 1000,
      endByte: 2000,
      fileBytes: expect.any(Number),
    });
    const files = await filesOf(path.join(dir, 'ranges'), 'entries');
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    expect((await run('stats')).lines).toEqual([expect.objectContaining({ entries: 3, bytes })]);
    expect(await run('verify')).toMatchObject({ status: 0, lines: [{ entries: 3, bytes, damaged: 0 }] });

    const [{ file }] = files;
    const content = await readFile(file);
    content[content.length - 10] ^= 1;
    await writeFile(file, content);
    expect(await run('verify')).toMatchObject({ status: 1, lines: [{ damaged: file }, { entries: 3, damaged: 1 }] });

    expect(await run('clear')).toMatchObject({ status: 0, lines: [{ entries: 3, bytes }] });
    expect(await filesOf(path.join(dir, 'ranges'), 'entries')).toEqual([]);
    expect((await run('stats')).lines).toEqual([expect.objectContaining({ entries: 0, bytes: 0 })]);
  });

  it('lists tokens by the rows that they are of', async () => {
    const cache = openCache(path.join(dir, 'ranges'));
    cache.put(JSON.stringify(['tokens', 'memory://corpus/a.parquet', 'v1', 20, 40, 'text', 'whatever follows']), bytesOf(1, 100));
    await cache.close();
    const { lines } = await run('ls');
    expect(lines).toHaveLength(4);
    expect(lines).toContainEqual({ uri: 'memory://corpus/a.parquet', etag: 'v1', startRow: 20, endRow: 40, fileBytes: expect.any(Number) });
    expect(await run('verify')).toMatchObject({ status: 0, lines: [{ entries: 4, damaged: 0 }] });
  });

  it('has nothing to show where no cache is, and names a directory that is none', async () => {
    expect(await run('ls', '--dir', path.join(dir, 'nowhere'))).toMatchObject({ status: 0, lines: [] });
    await remove();
    await writeFile(dir, 'a file');
    const { status, errors } = await run('stats');
    expect(status).toBe(1);
    expect(errors).toContain('error CONFIG_INVALID: the cache in');
  });
});
