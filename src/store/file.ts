/** Files as a store: paths are absolute, an ETag is what changes when a file is written. */
import type { BigIntStats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
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
  if (!stats.isFile()) throw storeError('STORE_NOT_FOUND', `${file} is not a file`, { uri: file });
  return infoOf(file, stats);
};

const read: Store['read'] = async (file, { startByte, endByte }, options = {}) => {
  throwIfAborted(options.signal);
  const handle = await open(file).catch((error: unknown) => {
    throw fileError(file, error);
  });
  try {
    const before = infoOf(file, await handle.stat({ bigint: true }));
    if (options.ifMatch !== undefined && options.ifMatch !== before.etag) throw shardChanged(file, options.ifMatch, before.etag);
    if (startByte < 0 || endByte < startByte || endByte > before.size) throw outsideObject(file, startByte, endByte, before.size);
    const bytes = new Uint8Array(endByte - startByte);
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
  const directory = prefix.endsWith('/') ? prefix : path.dirname(prefix);
  const files = await filesBelow(directory, new Set(), options?.signal);
  const found = files.filter((file) => file.startsWith(prefix)).sort(compareUtf8);
  for (const file of found) yield await head(file, options);
}

/** Follows links to directories, each real directory once, so that a cycle ends. */
async function filesBelow(directory: string, visited: Set<string>, signal: AbortSignal | undefined): Promise<string[]> {
  throwIfAborted(signal);
  const files: string[] = [];
  try {
    const { dev, ino } = await stat(directory, { bigint: true });
    const identity = `${dev}:${ino}`;
    if (visited.has(identity)) return [];
    visited.add(identity);
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      const kind = entry.isSymbolicLink() ? await stat(file).catch(() => undefined) : entry; // a dangling link is no object
      if (kind?.isDirectory() === true) files.push(...(await filesBelow(file, visited, signal)));
      else if (kind?.isFile() === true) files.push(file);
    }
  } catch (error) {
    throw error instanceof HeadraceError ? error : fileError(directory, error);
  }
  return files;
}

function infoOf(file: string, stats: BigIntStats): ObjectInfo {
  return { path: file, size: Number(stats.size), etag: `${stats.mtimeNs}-${stats.size}-${stats.ino}` };
}

function fileError(file: string, error: unknown): HeadraceError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return storeError('STORE_NOT_FOUND', `${file} does not exist`, { uri: file }, error);
    case 'EACCES':
    case 'EPERM':
      return storeError('STORE_DENIED', `this process may not read ${file}`, { uri: file }, error);
    default:
      return storeError('STORE_READ_FAILED', `cannot read ${file}: ${messageOf(error)}`, { uri: file }, error);
  }
}
