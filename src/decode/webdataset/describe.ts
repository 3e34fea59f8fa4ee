/** What a tar says of itself, for `headrace inspect`: one pass over its headers, for the members that its samples have. */
import { LIMITS } from '../../config/limits.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import type { ColumnDescription, Scan, ShardDescription } from '../decoder.js';
import { readTarContents } from './index-shard.js';
import { typeOfMember } from './member-choice.js';

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function describeTar(
  store: Store,
  object: ObjectInfo,
  scan: Scan,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardDescription> {
  const { rows, units, members } = await readTarContents(store, object, scan, signal);
  const codec = codecOfPath(object.path);
  const shown = [...members].slice(0, LIMITS.inspectedMembersMax);
  return {
    rows,
    units,
    hasStatistics: true, // it has none, and no other way of writing it has
    columns: shown.map(([name, { samples, bytes }]): ColumnDescription => {
      const type = typeOfMember(name);
      return {
        name,
        type,
        use: type === 'text' ? 'text' : undefined,
        codecs: codec === 'plain' ? [] : [codec],
        encodings: [],
        storedBytes: bytes,
        decodedBytes: bytes,
        seen: { rows, missing: Math.max(0, rows - samples), nulls: 0, empty: 0, types: [type] },
      };
    }),
    looked: { rows, bad: 0, problem: undefined, isOpen: false, isCut: members.size > shown.length },
  };
}
