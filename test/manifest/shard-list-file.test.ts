import { describe, expect, it } from 'vitest';
import type { FormatName } from '../../src/core/format.js';
import { listShards } from '../../src/manifest/list-shards.js';
import { listedShards } from '../../src/manifest/shard-list-file.js';
import { memoryStore } from '../../src/store/memory.js';

const wids = (urls: readonly string[], more: object = {}): string =>
  JSON.stringify({ wids_version: 1, shardlist: urls.map((url) => ({ url, nsamples: 5, filesize: 1 })), ...more });

describe('a list of shards in a file', () => {
  it.each([
    [wids(['b.tar', './a.tar', 'sub/c.tar']), ['s3://x/d/b.tar', 's3://x/d/a.tar', 's3://x/d/sub/c.tar']],
    [wids(['a.tar'], { base: 'train' }), ['s3://x/d/train/a.tar']],
    [wids(['a.tar'], { base: 's3://y/e/' }), ['s3://y/e/a.tar']],
    [wids(['https://h/a.tar', '/a.tar']), ['https://h/a.tar', '/a.tar']],
    ['[{"url": "a.tar", "nsamples": 3}]', ['s3://x/d/a.tar']],
  ])('%s', (text, uris) => expect(listedShards(text, 's3://x/d/list.json')).toEqual(uris));

  it.each([
    '',
    '[]',
    '{}',
    '{"shardlist": []}',
    '{"shardlist": [{"nsamples": 3}]}',
    wids(['a.tar'], { datasets: [{ source_url: 'x' }] }),
    '[{"a": 1}]',
  ])('%s is none', (text) => expect(listedShards(text, 's3://x/list.json')).toBeUndefined());

  const list = (text: string, format?: FormatName): ReturnType<typeof listShards> => {
    const files = Object.fromEntries(['b', 'a', 'c'].map((name) => [`d/${name}.tar`, new Uint8Array(1)]));
    const stores = [
      memoryStore('memory://b/', { ...files, 'd/list.json': new Uint8Array(Buffer.from(text)) }),
      memoryStore('memory://other/', files),
    ];
    stores[0].list = () => {
      throw new Error('listed');
    };
    return listShards(['memory://b/d/list.json'], {
      sourceName: 's',
      format,
      warn: () => undefined,
      openStore: (uri) => {
        const store = stores.find((own) => uri.startsWith(own.uri))!;
        return { store, path: uri.slice(store.uri.length) };
      },
    });
  };

  it('names the shards in its order, lists nothing, and has the paths that a copy would have', async () => {
    const listed = await list(wids(['b.tar', 'a.tar']));
    expect(listed.map(({ path, object }) => [path, object.path])).toEqual([
      ['b.tar', 'd/b.tar'],
      ['a.tar', 'd/a.tar'],
    ]);
    await expect(list(wids(['b.tar', 'x.tar']))).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      hint: expect.stringMatching(/^memory:\/\/b\/d\/list.json names it/),
    });
    await expect(list(wids(['memory://other/d/b.tar']))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('is told of where a format says that it should be one; any other JSON is an object as before', async () => {
    await expect(list('{}', 'webdataset')).rejects.toMatchObject({ code: 'CONFIG_INVALID', hint: expect.stringContaining('shardlist') });
    for (const format of [undefined, 'jsonl'] as const) expect((await list('{}', format)).map(({ path }) => path)).toEqual(['list.json']);
    expect((await list(wids(['a.tar']), 'jsonl')).map(({ path }) => path)).toEqual(['list.json']);
  });
});
