/** What the cache asks of a disk, as an interface: tests put failing disks in its place. */
import { close, fdatasync, open, readv, writev } from 'node:fs';
import { lstat, lutimes, readdir, readlink, rename, statfs, symlink, unlink } from 'node:fs/promises';
import { makeDirectory } from '../files/make-directory.js';

export interface DiskFile {
  /** Fills `buffers` from `position` on; answers how many bytes there were. */
  read(buffers: Uint8Array[], position: number): Promise<number>;
  write(buffers: Uint8Array[], position: number): Promise<number>;
  /** Returns when the content is on the medium. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Errors are those of `node:fs`, with their `code`. */
export interface Disk {
  /** `wx`: made anew, and an error if it exists. */
  open(file: string, flags: 'r' | 'wx'): Promise<DiskFile>;
  /** Makes a symbolic link that says `text` and leads nowhere: made with its content in one step, or `EEXIST`. */
  makeLink(text: string, file: string): Promise<void>;
  readLink(file: string): Promise<string>;
  makeDirectory(dir: string): Promise<void>;
  names(dir: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  remove(file: string): Promise<void>;
  /** When the file or link was last written or touched, in milliseconds since 1970. */
  modifiedMs(file: string): Promise<number>;
  touch(file: string): Promise<void>;
  space(dir: string): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

export const localDisk: Disk = {
  // by descriptors: handles of `node:fs/promises` take as long again as the calls themselves where the page cache has the file
  open: async (file, flags) => {
    const fd = await called<number>((done) => open(file, flags, 0o600, done));
    return {
      read: (buffers, position) => called((done) => readv(fd, buffers, position, done)),
      write: (buffers, position) => called((done) => writev(fd, buffers, position, done)),
      sync: () => called((done) => fdatasync(fd, done)),
      close: () => called((done) => close(fd, done)),
    };
  },
  makeLink: (text, file) => symlink(text, file),
  readLink: (file) => readlink(file),
  makeDirectory: (dir) => makeDirectory(dir, 0o700),
  names: (dir) => readdir(dir),
  rename,
  remove: unlink,
  modifiedMs: async (file) => (await lstat(file)).mtimeMs,
  touch: (file) => lutimes(file, new Date(), new Date()),
  space: async (dir) => {
    const { bavail, blocks, bsize } = await statfs(dir);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  },
};

/** A call of `node:fs` as a promise. */
function called<T = void>(call: (done: (error: NodeJS.ErrnoException | null, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => call((error, value) => (error === null ? resolve(value as T) : reject(error))));
}

/** The `code` of an error of `node:fs`. */
export function diskCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Answers undefined where there is no such file. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (diskCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** What a full disk says, also where there are only the bytes left that others shall have. */
export function noSpace(message: string): Error {
  return Object.assign(new Error(message), { code: 'ENOSPC' });
}
