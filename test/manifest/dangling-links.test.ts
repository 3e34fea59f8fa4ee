import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listShards } from '../../src/manifest/list-shards.js';
import { fileStore } from '../../src/store/file.js';

describe('links that lead nowhere', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-links-'));
    await writeFile(`${dir}/a.parquet`, 'x');
  });
  afterEach(() => rm(dir, { recursive: true }));

  const listed = async (uri: string): Promise<{ readonly paths: string[]; readonly warnings: string[] }> => {
    const warnings: string[] = [];
    const openStore = (own: string): { store: ReturnType<typeof fileStore>; path: string } => ({ store: fileStore(), path: own });
    const found = await listShards([uri], { sourceName: 's', format: undefined, openStore, warn: (message) => warnings.push(message) });
    return { paths: found.map((own) => own.path), warnings };
  };

  it('are shards that are missing, where they have the name of one', async () => {
    await symlink('/nowhere/b', `${dir}/b.parquet`);
    await expect(listed(`${dir}/`)).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: `sources.s: the link file://${dir}/b.parquet leads nowhere`,
      detail: { links: 1 },
    });
    await symlink('c.parquet', `${dir}/c.parquet`); // in a circle
    await expect(listed(`${dir}/*.parquet`)).rejects.toMatchObject({
      message: expect.stringMatching(/b\.parquet leads nowhere \(the first of 2 by names of shards\)$/),
    });
    // what is not meant is not missed
    await expect(listed(`${dir}/a*.parquet`)).resolves.toMatchObject({ paths: ['a.parquet'] });
  });

  it('are named in one warning, where they have not; hidden ones are not', async () => {
    await symlink('/nowhere/2026', `${dir}/date=2026-01-01`);
    await symlink('/nowhere/x', `${dir}/.#a.parquet`);
    await symlink('/nowhere/x', `${dir}/_b.parquet`);
    expect(await listed(`${dir}/`)).toEqual({
      paths: ['a.parquet'],
      warnings: [`sources.s: leaving out a link that leads nowhere below file://${dir}/: date=2026-01-01`],
    });
    await symlink('/nowhere', `${dir}/README`);
    expect((await listed(`${dir}/`)).warnings).toEqual([
      `sources.s: leaving out 2 links that lead nowhere below file://${dir}/: README, date=2026-01-01`,
    ]);
  });
});
