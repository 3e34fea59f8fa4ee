import { describe, expect, it } from 'vitest';
import { expandBraces } from '../../src/manifest/expand-braces.js';
import { listShards } from '../../src/manifest/list-shards.js';
import { memoryStore } from '../../src/store/memory.js';

describe('names by number', () => {
  it.each([
    ['s-{000..003}.tar', ['s-000.tar', 's-001.tar', 's-002.tar', 's-003.tar']],
    ['{8..11}.tar', ['8.tar', '9.tar', '10.tar', '11.tar']],
    ['{2..0}', ['2', '1', '0']],
    ['{a,b}/{0..1}', ['a/0', 'b/0', 'a/1', 'b/1']],
    ['{7..7}', ['7']],
  ])('%s', (pattern, names) => expect(expandBraces(pattern)).toEqual(names));

  it.each(['s.tar', '{a,b}.tar', '*-{0..3}.tar', '{a..c}.tar', '{0..}'])('%s is left to the listing', (pattern) =>
    expect(expandBraces(pattern)).toBeUndefined(),
  );

  it('refuses more names than a source may have shards, before it makes them', () => {
    expect(() => expandBraces('{0..999999999999}')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    expect(() => expandBraces('{0..9999}{0..9999}{0..9999}')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  const options = (store: ReturnType<typeof memoryStore>) => ({
    sourceName: 's',
    format: undefined,
    warn: () => undefined,
    openStore: (uri: string) => ({ store, path: uri.slice(store.uri.length), single: true }),
  });

  it('need no listing, must all be there, and have the paths that a glob would give them', async () => {
    const files = Object.fromEntries(['0', '1', '2', '3'].map((i) => [`d/s-00${i}.tar`, new Uint8Array(1)]));
    const store = memoryStore('memory://b/', files);
    store.list = () => {
      throw new Error('listed');
    };
    const listed = await listShards(['memory://b/d/s-{001..003}.tar'], options(store));
    expect(listed.map(({ path, object }) => [path, object.path])).toEqual(['1', '2', '3'].map((i) => [`s-00${i}.tar`, `d/s-00${i}.tar`]));
    await expect(listShards(['memory://b/d/s-{001..004}.tar'], options(store))).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: expect.stringContaining('s-004.tar'),
      hint: expect.stringMatching(/^memory:\/\/b\/d\/s-\{001..004\}.tar stands for it, and each number must be there/),
    });
  });
});
