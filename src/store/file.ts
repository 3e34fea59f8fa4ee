/** Files as a store: paths are absolute, an ETag is what changes when a file is written. */
import { close, constants, fstat, open, read, stat, type BigIntStats, type Stats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';
import { compareUtf8 } from '../core/canonical-json.js';
import { throwIfAborted } from '../core/abort.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { rawBytes } from '../core/raw-memory.js';
import { STORE_LIMITS } from './limits.js';
import { outsideObject, shardChanged, storeError } from './store-error.js';
import type { ListObjectsOptions, ObjectInfo, Store } from './store.js';

export function fileStore(): Store {
  const files = new Files();
  return { uri: 'file://', list, head, read: files.read, close: () => files.close() };
}

const head: Store['head'] = async (file, options) => {
  throwIfAborted(options?.signal);
  const stats = await statPath(file, { bigint: true }).catch((error: unknown) => {
    throw fileError(file, error);
  });
  return infoOf(file, stats);
};

/** Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever, and holds a thread of the pool. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** A version of a file that is open: to open and to close it costs more than a small read, and a window has slices of many row groups of few files. */
interface OpenFile {
  readonly opened: Promise<{ readonly descriptor: number; readonly info: ObjectInfo }>;
  /** Its reads, and one more as long as it is kept for others. */
  users: number;
}

/** Reads of versions that are named; whoever names none wants what is there now, and opens it. */
class Files {
  readonly #closing = new Set<Promise<void>>();
  readonly #kept = new LRUCache<string, OpenFile>({ max: STORE_LIMITS.openFilesMax, dispose: (own) => this.#leave(own) });

  readonly read: Store['read'] = async (file, { startByte, endByte }, options = {}) => {
    throwIfAborted(options.signal);
    const { ifMatch } = options;
    const own = this.#enter(file, ifMatch);
    try {
      const { descriptor, info } = await own.opened;
      if (startByte < 0 || endByte < startByte || endByte > info.size) throw outsideObject(file, startByte, endByte, info.size);
      const bytes = options.into ?? rawBytes(endByte - startByte);
      for (let done = 0; done < bytes.length;) {
        const { bytesRead } = await readDescriptor(descriptor, bytes, done, bytes.length - done, startByte + done);
        throwIfAborted(options.signal);
        if (bytesRead === 0) throw shardChanged(file, info.etag, undefined);
        done += bytesRead;
      }
      // a writer that came between: what was read may be of two versions, or no longer what is there
      if (ifMatch !== undefined) checkVersion(file, ifMatch, infoOf(file, await statPath(file, { bigint: true })));
      return bytes;
    } catch (error) {
      if (ifMatch !== undefined) this.#forget(file, ifMatch, own);
      throw error instanceof HeadraceError ? error : fileError(file, error);
    } finally {
      this.#leave(own);
    }
  };

  async close(): Promise<void> {
    this.#kept.clear();
    await Promise.all(this.#closing);
  }

  #enter(file: string, ifMatch: string | undefined): OpenFile {
    if (ifMatch === undefined) return { opened: openFile(file), users: 1 };
    const key = keyOf(file, ifMatch);
    let own = this.#kept.get(key);
    if (own === undefined) {
      own = { opened: openFile(file, ifMatch), users: 1 };
      this.#kept.set(key, own);
    }
    own.users++;
    return own;
  }

  #forget(file: string, ifMatch: string, own: OpenFile): void {
    const key = keyOf(file, ifMatch);
    if (this.#kept.peek(key) === own) this.#kept.delete(key);
  }

  #leave(own: OpenFile): void {
    own.users--;
    if (own.users > 0) return;
    const closing = own.opened
      .then(({ descriptor }) => closeDescriptor(descriptor))
      .catch(() => undefined) // it was never opened, which its reads heard of; what was read is whole, however it is closed
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

function keyOf(file: string, etag: string): string {
  return `${etag} ${file}`;
}

const openPath = promisify(open);
const readDescriptor = promisify(read);
const statDescriptor = promisify(fstat);
const statPath = promisify(stat);
const closeDescriptor = promisify(close);

async function openFile(file: string, ifMatch?: string): OpenFile['opened'] {
  const descriptor = await openPath(file, OPEN_FLAGS);
  try {
    const info = infoOf(file, await statDescriptor(descriptor, { bigint: true }));
    if (ifMatch !== undefined) checkVersion(file, ifMatch, info);
    return { descriptor, info };
  } catch (error) {
    await closeDescriptor(descriptor);
    throw error;
  }
}

function checkVersion(file: string, ifMatch: string, { etag }: ObjectInfo): void {
  if (ifMatch !== etag) throw shardChanged(file, ifMatch, etag);
}

async function* list(prefix: string, options: ListObjectsOptions = {}): AsyncGenerator<ObjectInfo> {
  const directory = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const files = await filesBelow(directory, prefix, [], options);
  for (const file of files.sort(compareUtf8)) yield await head(file, options);
}

/**
 * The files below `directory`, which ends with a slash, whose paths start with `prefix`; what leads elsewhere is not entered. Links to
 * directories are followed, but not into a directory of `ancestors`, so that a cycle ends.
 */
async function filesBelow(directory: string, prefix: string, ancestors: readonly string[], options: ListObjectsOptions): Promise<string[]> {
  throwIfAborted(options.signal);
  const files: string[] = [];
  try {
    const { dev, ino } = await statPath(directory, { bigint: true });
    const identity = `${dev}:${ino}`;
    if (ancestors.includes(identity)) return [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const file = directory + entry.name;
      if (!file.startsWith(prefix) && !prefix.startsWith(`${file}/`)) continue;
      const kind = entry.isSymbolicLink() ? await linkedKind(file) : entry;
      if (kind?.isDirectory() === true) files.push(...(await filesBelow(`${file}/`, prefix, [...ancestors, identity], options)));
      else if (kind?.isFile() === true) files.push(file);
      else if (kind === undefined && file.startsWith(prefix)) options.onDangling?.(file);
    }
  } catch (error) {
    throw error instanceof HeadraceError ? error : fileError(directory, error);
  }
  return files;
}

/** What a link leads to. One that leads nowhere, or in a circle, is no object; one that cannot be followed is an error. */
async function linkedKind(file: string): Promise<Stats | undefined> {
  try {
    return await statPath(file);
  } catch (error) {
    if (NOWHERE.has(codeOf(error) ?? '')) return undefined;
    throw fileError(file, error);
  }
}

const NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

/** Of a regular file: pipes, devices and sockets have no size and no version, and reading one may wait for ever. */
function infoOf(file: string, stats: BigIntStats): ObjectInfo {
  if (stats.isDirectory()) throw storeError('STORE_NOT_FOUND', `${file} is a directory, not a file`, { uri: file });
  if (!stats.isFile()) throw irregular(file);
  return { path: file, size: Number(stats.size), etag: `${stats.mtimeNs}-${stats.size}-${stats.ino}` };
}

function irregular(file: string, cause?: unknown): HeadraceError {
  return new HeadraceError('STORE_READ_FAILED', `${file} is not a regular file`, {
    detail: { uri: file },
    hint: 'Shards are read in parts and again: copy what a pipe or a device gives into a file.',
    cause,
  });
}

function fileError(file: string, error: unknown): HeadraceError {
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return storeError('STORE_NOT_FOUND', `${file} does not exist`, { uri: file }, error);
    case 'EACCES':
    case 'EPERM':
      return storeError('STORE_DENIED', `this process may not read ${file}`, { uri: file }, error);
    case 'ENXIO': // how opening a socket fails
      return irregular(file, error);
    default:
      return storeError('STORE_READ_FAILED', `cannot read ${file}: ${messageOf(error)}`, { uri: file }, error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
