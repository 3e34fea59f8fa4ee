/** What a tar says of itself, for `headrace inspect`: one pass over its headers, for the members that its samples have. */
import { LIMITS } from '../../config/limits.js';
import type { JsonValue } from '../../core/canonical-json.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import type { ColumnDescription, Scan, ShardDescription } from '../decoder.js';
import { isJsonObject, SeenColumns } from '../seen-columns.js';
import { offeredField, type OfferedField } from '../offered-field.js';
import { readTarContents, type TarContents } from './index-shard.js';
import { KEY_MEMBER, typeOfMember } from './member-choice.js';
import { arrayField } from './npy.js';

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function describeTar(
  store: Store,
  object: ObjectInfo,
  scan: Scan,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardDescription> {
  const { rows, units, members, looked } = await readTarContents(store, object, scan, signal);
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
    fields: fieldsOf(rows, shown, looked),
    looked: { rows, bad: 0, problem: undefined, isOpen: false, isCut: members.size > shown.length },
  };
}

/** Members by their names; what is in JSON, and how long arrays are, by the first samples. */
function fieldsOf(
  rows: number,
  members: readonly (readonly [string, { readonly samples: number }])[],
  looked: TarContents['looked'],
): OfferedField[] {
  const fields = members.flatMap(([name, { samples }]): OfferedField[] => {
    const isWithout = samples < rows;
    const type = typeOfMember(name);
    const bodies = looked.filter(({ member }) => member === name);
    if (type === 'array') {
      const field = arrayField(name, bodies, isWithout);
      return field === undefined ? [] : [field];
    }
    if (type !== 'text')
      return [offeredField(name, type === 'bytes' ? { kind: type } : { kind: 'numbers', dtype: type, size: null }, {}, isWithout)];
    return [offeredField(name, { kind: 'text' }, {}, isWithout), ...pathsOf(name, bodies, isWithout)];
  });
  return rows === 0 ? [] : [...fields, { name: KEY_MEMBER, type: 'text' }];
}

/** Of a member that is no JSON, or of which nothing was looked at: none. */
function pathsOf(name: string, bodies: TarContents['looked'], isWithout: boolean): OfferedField[] {
  const seen = new SeenColumns();
  for (const { bytes } of bodies) {
    const value = jsonOf(bytes);
    if (value !== undefined && isJsonObject(value)) seen.addObject(value);
  }
  return seen.all().flatMap(({ field }): OfferedField[] => {
    if (field === undefined) return [];
    const said = { ...field.said, ...(isWithout && { missing: null }) };
    return [{ ...field, name: `${name}.${field.name}`, ...(Object.keys(said).length > 0 && { said }) }];
  });
}

/** `undefined`: it is none, which makes its row a bad one, and says nothing here. */
function jsonOf(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as JsonValue;
  } catch {
    return undefined;
  }
}
