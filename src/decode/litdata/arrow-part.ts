/**
 * The Arrow file at the end of a chunk whose samples are dicts of text, numbers, lists and the like: litData keeps their rows there, and only there.
 *
 *   items │ offsets, all alike │ ARROW1 … ARROW1 │ length │ LDARW01·
 *
 * Source of the layout: `append_arrow_row_footer` in `litdata/streaming/item_loader.py`.
 */
import type { Shard } from '../../core/shard.js';
import type { ByteRange, ReadOptions, Store } from '../../store/store.js';

const MAGIC = 'LDARW01\0';
export const ARROW_TAIL_BYTES = 4 + MAGIC.length;

/** Where the file is, by the last bytes of the object; `undefined`: it has none. Throws `Error`. */
export function arrowPart(tail: Uint8Array, headEnd: number, size: number): ByteRange | undefined {
  const text = Buffer.from(tail.buffer, tail.byteOffset, tail.length);
  if (tail.length < ARROW_TAIL_BYTES || text.toString('latin1', 4) !== MAGIC) return undefined;
  const endByte = size - ARROW_TAIL_BYTES;
  const startByte = endByte - text.readUInt32LE(0);
  if (startByte < headEnd || startByte === endByte) throw new Error(`its rows claim ${endByte - startByte} bytes of ${size}`);
  return { startByte, endByte };
}

/** A store that has a part of each of its objects, as far as it is read. */
export function storeOfPart(store: Store, { startByte }: Pick<ByteRange, 'startByte'>): Store {
  const moved = (range: ByteRange): ByteRange => ({ startByte: range.startByte + startByte, endByte: range.endByte + startByte });
  return {
    ...store,
    read: (path, range, options?: ReadOptions) =>
      store.read(path, moved(range), {
        ...options,
        ...(options?.fresh && { fresh: { forget: options.fresh.forget.map(moved) } }),
      }),
  };
}

/** The same rows, as the decoder of Arrow knows them: units have its own layouts. */
export function shardOfPart(shard: Shard, { startByte, endByte }: ByteRange, layout: Shard['layout']): Shard {
  const { path, uri, etag, contentId, rows, units } = shard;
  return { path, uri, etag, contentId, rows, units, size: endByte - startByte, layout };
}
