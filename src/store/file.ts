/** Files as a store: paths are absolute, an ETag is what changes when a file is written. */
import { constants, type BigIntStats, type Stats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { compareUtf8 } from '../core/canonical-json.js';
import { throwIfAborted } from '../core/abort.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { outsideObject, shardChanged, storeError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export function fileStore(): Store {
  return { uri: 'file://', list, head, read, close: () => Promise.resolve() };
}

const head: Store['head'] = async (file, options) => {
  throwIfAborted(options?.signal);
  const stats = await stat(file, { bigint: true }).catch((error: unknown) => {
    throw fileError(file, error);
  });
  return infoOf(file, stats);
};

/** Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever, and holds a thread of the pool. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const read: Store['read'] = async (file, { startByte, endByte }, options = {}) => {
  throwIfAborted(options.signal);
  const handle = await open(file, OPEN_FLAGS).catch((error: unknown) => {
    throw fileError(file, error);
  });
  try {
    const before = infoOf(file, await handle.stat({ bigint: true }));
    if (options.ifMatch !== undefined && options.ifMatch !== before.etag) throw shardChanged(file, options.ifMatch, before.etag);
    if (startByte < 0 || endByte < startByte || endByte > before.size) throw outsideObject(file, startByte, endByte, before.size);
    const bytes = options.into ?? new Uint8Array(endByte - startByte);
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, startByte + done);
      throwIfAborted(options.signal);
      if (bytesRead === 0) throw shardChanged(file, before.etag, undefined);
      done += bytesRead;
    }
    // a writer that came between: what was read may be of two versions
    const after = infoOf(file, await handle.stat({ bigint: true }));
    if (options.ifMatch !== undefined && options.ifMatch !== after.etag) throw shardChanged(file, options.ifMatch, after.etag);
    return bytes;
  } catch (error) {
    throw error instanceof HeadraceError ? error : fileError(file, error);
  } finally {
    await handle.close();
  }
};

async function* list(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncGenerator<ObjectInfo> {
  const directory = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const files = await filesBelow(directory, prefix, [], options?.signal);
  for (const file of files.sort(compareUtf8)) yield await head(file, options);
}

/**
 * The files below `directory`, which ends with a slash, whose paths start with `prefix`; what leads elsewhere is not entered. Links to
 * directories are followed, but not into a directory of `ancestors`, so that a cycle ends.
 */
async function filesBelow(
  directory: string,
  prefix: string,
  ancestors: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  throwIfAborted(signal);
  const files: string[] = [];
  try {
    const { dev, ino } = await stat(directory, { bigint: true });
    const identity = `${dev}:${ino}`;
    if (ancestors.includes(identity)) return [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const file = directory + entry.name;
      if (!file.startsWith(prefix) && !prefix.startsWith(`${file}/`)) continue;
      const kind = entry.isSymbolicLink() ? await linkedKind(file) : entry;
      if (kind?.isDirectory() === true) files.push(...(await filesBelow(`${file}/`, prefix, [...ancestors, identity], signal)));
      else if (kind?.isFile() === true) files.push(file);
    }
  } catch (error) {
    throw error instanceof HeadraceError ? error : fileError(directory, error);
  }
  return files;
}

/** What a link leads to. One that leads nowhere, or in a circle, is no object; one that cannot be followed is an error. */
async function linkedKind(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
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
