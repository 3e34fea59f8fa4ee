/**
 * The index that Megatron-Energon keeps beside a tar, `NAME.tar.idx`: where the headers of each sample start, and at last where the archive ends; each
 * eight bytes, little-endian.
 */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import { BLOCK_BYTES, readTarEntry, tarBytes } from './tar-entry.js';

export interface EnergonIndex {
  /** Of each sample. */
  readonly startBytes: readonly number[];
  /** Where the last one ends. */
  readonly endByte: number;
  /** As it was read. */
  readonly bytes: Uint8Array;
}

const ENDING = '.idx';
const ENTRY_BYTES = 8;

/** `undefined`: there is none. Errors: those of stores, `SHARD_INVALID` where it is not of this archive. */
export async function readEnergonIndex(store: Store, tar: ObjectInfo, signal: AbortSignal): Promise<EnergonIndex | undefined> {
  if (codecOfPath(tar.path) !== 'plain') return undefined; // its places are those of a plain archive
  const path = tar.path + ENDING;
  if (tar.path.includes('?')) return undefined; // a signed URL names one object
  const object = await headOrUndefined(store, path, signal);
  if (object === undefined) return undefined;
  const uri = store.uri + path;
  if (object.size % ENTRY_BYTES !== 0 || object.size < ENTRY_BYTES || object.size > LIMITS.tarIndexBytesMax) {
    throw wrong(uri, `it has ${object.size} bytes`);
  }
  const bytes = await store.read(path, { startByte: 0, endByte: object.size }, { ifMatch: object.etag, signal });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const places = Array.from({ length: bytes.length / ENTRY_BYTES }, (_, i) => Number(view.getBigUint64(i * ENTRY_BYTES, true)));
  const endByte = places.pop() ?? 0;
  const descending = places.findIndex((place, i) => place >= (places.at(i + 1) ?? endByte) || place % BLOCK_BYTES !== 0);
  if (descending >= 0 || endByte > tar.size) throw wrong(uri, 'its offsets are not those of an archive of this size');
  for (const place of new Set([places.at(0), places.at(-1)])) {
    if (place !== undefined && !(await startsEntry(store, tar, place, endByte, signal))) {
      throw wrong(uri, `it says that a member starts at byte ${place}, and none does`);
    }
  }
  return { startBytes: places, endByte, bytes };
}

/** A cheap look at an index that may be of an older archive; what else is wrong with it shows when samples are read. */
async function startsEntry(store: Store, tar: ObjectInfo, startByte: number, endByte: number, signal: AbortSignal): Promise<boolean> {
  const range = { startByte, endByte: Math.min(endByte, startByte + LIMITS.tarScanBytesMin) };
  const bytes = await store.read(tar.path, range, { ifMatch: tar.etag, signal });
  try {
    return (
      readTarEntry(tarBytes(bytes), 0, {
        uri: store.uri + tar.path,
        startByte,
        isContent: false,
      }) !== 'end'
    );
  } catch (error) {
    if (error instanceof HeadraceError && error.code === 'SHARD_INVALID') return false;
    throw error;
  }
}

async function headOrUndefined(store: Store, path: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
  try {
    return await store.head(path, { signal });
  } catch (error) {
    // a store that lets nobody list says "denied" of what does not exist
    if (error instanceof HeadraceError && (error.code === 'STORE_NOT_FOUND' || error.code === 'STORE_DENIED')) return undefined;
    throw error;
  }
}

function wrong(uri: string, problem: string): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not the index of its archive: ${problem}`, {
    detail: { uri },
    hint: 'Make it again (`energon prepare`), or take it away: headrace makes one of its own.',
  });
}
