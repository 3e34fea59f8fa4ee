/** A read that goes on where it broke off: what arrived is kept, and only the rest is asked for, of the same version of the object. */
import { TransientStoreError, type PartialRead } from './store-error.js';
import type { ByteRange, ReadOptions, Store } from './store.js';

export interface ResumableRead {
  /** Asks for what is missing; called again after a `TransientStoreError`. Errors: those of the store. */
  attempt(): Promise<Uint8Array>;
  /** Bytes that have arrived, of all attempts. */
  received(): number;
}

/**
 * ```
 *  range      [ first attempt ····x  second ··x  third ········ ]      x: the body breaks off
 *  If-Match     the caller's      the first answer's ETag
 * ```
 * The bytes of later attempts are written behind those of the first, into the same array.
 */
export function resumableRead(store: Store, path: string, range: ByteRange, options: ReadOptions = {}): ResumableRead {
  let partial: PartialRead | undefined;
  return {
    received: () => partial?.received ?? 0,
    attempt: async () => {
      if (partial === undefined) {
        try {
          return await store.read(path, range, options);
        } catch (error) {
          partial = partialOf(error);
          throw error;
        }
      }
      const { bytes, received, etag } = partial;
      const rest = bytes.subarray(received);
      const missing = { startByte: range.startByte + received, endByte: range.endByte };
      try {
        copyUnlessSame(await store.read(path, missing, { ...options, ifMatch: etag, into: rest }), rest);
        return bytes;
      } catch (error) {
        const more = partialOf(error);
        if (more !== undefined) {
          copyUnlessSame(more.bytes.subarray(0, more.received), rest);
          partial = { bytes, received: received + more.received, etag };
        }
        throw error;
      }
    },
  };
}

function partialOf(error: unknown): PartialRead | undefined {
  const partial = error instanceof TransientStoreError ? error.partial : undefined;
  return partial === undefined || partial.received === 0 ? undefined : partial;
}

/** A store may have filled `into` itself. */
export function copyUnlessSame(bytes: Uint8Array, into: Uint8Array): void {
  if (bytes.buffer !== into.buffer) into.set(bytes);
}
