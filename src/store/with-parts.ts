/** Reads a large range as several requests at once, each of which writes its part of one array. */
import { withAnySignal } from '../core/abort.js';
import { messageOf, type HeadraceError } from '../core/errors.js';
import { mapConcurrent } from '../core/map-concurrent.js';
import { rawBytes } from '../core/raw-memory.js';
import { copyUnlessSame } from './resumable-read.js';
import { storeError } from './store-error.js';
import type { ByteRange, Store } from './store.js';

export interface PartsOptions {
  /** A longer range is cut into equal parts, each more than half as long as this. */
  readonly partBytesMax: number;
  /** Parts of one range under way at once. */
  readonly partsAtOnceMax: number;
}

/** Without `ifMatch`, the parts of a range are pinned to the version that a HEAD request shows. The first part that fails ends the others. */
export function withParts(store: Store, { partBytesMax, partsAtOnceMax }: PartsOptions): Store {
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: async (path, range, options = {}) => {
      if (range.endByte - range.startByte <= partBytesMax) return store.read(path, range, options);
      return withAnySignal([options.signal], async (signal) => {
        const ifMatch = options.ifMatch ?? (await store.head(path, { signal })).etag;
        const bytes = options.into ?? allocate(store.uri + path, range);
        const readPart = async ({ startByte, endByte }: ByteRange, _index: number, partSignal: AbortSignal): Promise<void> => {
          const into = bytes.subarray(startByte - range.startByte, endByte - range.startByte);
          copyUnlessSame(await store.read(path, { startByte, endByte }, { ifMatch, signal: partSignal, into }), into);
        };
        await mapConcurrent(partsOf(range, partBytesMax), partsAtOnceMax, readPart, signal);
        return bytes;
      });
    },
    close: () => store.close(),
  };
}

/** Equal parts, but for a byte. */
export function partsOf({ startByte, endByte }: ByteRange, partBytesMax: number): ByteRange[] {
  const count = Math.ceil((endByte - startByte) / partBytesMax);
  const boundary = (i: number): number => startByte + Math.floor(((endByte - startByte) * i) / count);
  return Array.from({ length: count }, (_, i) => ({ startByte: boundary(i), endByte: boundary(i + 1) }));
}

/** A range from a damaged footer may be of any length. */
function allocate(uri: string, { startByte, endByte }: ByteRange): Uint8Array {
  try {
    return rawBytes(endByte - startByte);
  } catch (error) {
    throw tooLong(uri, startByte, endByte, error);
  }
}

function tooLong(uri: string, startByte: number, endByte: number, error: unknown): HeadraceError {
  const message = `bytes ${startByte} to ${endByte} of ${uri} are more than this process can hold: ${messageOf(error)}`;
  return storeError('STORE_READ_FAILED', message, { uri, startByte, endByte }, error);
}
