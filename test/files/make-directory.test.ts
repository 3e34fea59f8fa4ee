import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory } from '../../src/files/make-directory.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'headrace-files-'));
});
afterEach(() => rm(dir, { recursive: true }));

describe('making a directory', () => {
  it('makes those above it, and is content with one that is there, also when several make it at once', async () => {
    const deep = path.join(dir, 'a/b/c');
    await Promise.all([makeDirectory(deep, 0o700), makeDirectory(path.join(dir, 'a/b/d'), 0o700), makeDirectory(deep, 0o700)]);
    await makeDirectory(deep);
    expect((await stat(deep)).mode & 0o777).toBe(0o700);
    expect((await stat(path.join(dir, 'a'))).mode & 0o777).toBe(0o700);
  });

  it('fails where a file is in the way', async () => {
    await mkdir(path.join(dir, 'a'));
    await writeFile(path.join(dir, 'a/file'), '');
    await expect(makeDirectory(path.join(dir, 'a/file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectory(path.join(dir, 'a/file/b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it.runIf(existsSync('/proc/self'))('ends where a file system makes none and says that something above is missing', async () => {
    await expect(makeDirectory('/proc/headrace-test/a')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
