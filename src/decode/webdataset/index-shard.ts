/** What a tar holds, found by one pass over its headers; long bodies that nobody wants are not read. Or by the index that Megatron-Energon keeps beside it. */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import { canonicalJson, type JsonValue } from '../../core/canonical-json.js';
import { HeadraceError } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import type { ColumnRequest, Scan, ShardIndex } from '../decoder.js';
import { comparedColumns } from '../value-columns.js';
import { readEnergonIndex } from './energon-index.js';
import { openArchive, type Archive } from '../compressed/archive.js';
import { KEY_MEMBER, requiredMembers, typeOfField, wantedMembers } from './member-choice.js';
import { IS_MEMBER, IS_WANTED, STARTS_SAMPLE, TAR_START, type TarScan } from './scan-headers.js';
import { tarInvalid } from './tar-entry.js';
import { UnitCutter } from './unit-cutter.js';
import { mayStartInPart, unitsInParts } from './units-in-parts.js';

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readTarIndex(
  store: Store,
  object: ObjectInfo,
  request: ColumnRequest,
  filter: Filter | undefined,
  scan: Scan,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardIndex> {
  const layout = shardLayoutOf(request, filter, store.uri + object.path); // before anything is read
  const wanted = wantedMembers(request, filter);
  const identity = createHash('sha256').update(canonicalJson({ size: object.size, wanted, ...(filter && { filter: columnsOf(filter) }) }));
  const known = await readEnergonIndex(store, object, signal);
  const archive = openArchive(store, object, signal);
  const { parts } = archive;
  const cutter = new UnitCutter(parts && ((byte) => mayStartInPart(parts, byte)));
  try {
    if (known === undefined) {
      await passOver(
        { archive, uri: store.uri + object.path, request, wanted, scan },
        cutter,
        (summary) => void identity.update(summary),
        signal,
      );
    } else {
      identity.update('energon').update(known.bytes);
      for (const [i, startByte] of known.startBytes.entries()) {
        const end = known.startBytes.at(i + 1) ?? known.endByte;
        // of its members nothing is known: it counts as wanted whole, and is read whole
        cutter.add(startByte, startByte, end - startByte, STARTS_SAMPLE + IS_WANTED);
      }
    }
  } finally {
    await archive.close();
  }
  const cut = cutter.finish();
  const units = parts === undefined ? cut : unitsInParts(cut, parts, archive.size ?? 0);
  // the same archive may be compressed in other parts
  if (parts !== undefined) identity.update(canonicalJson(units.map(({ startRow }) => startRow)));
  return { contentId: identity.digest('hex'), rows: cutter.rows, units, layout };
}

function shardLayoutOf({ column, kind, id, columns, fields }: ColumnRequest, filter: Filter | undefined, uri: string): JsonValue {
  return {
    column,
    kind,
    ...(id !== undefined && { id }),
    ...(columns !== undefined && { columns: [...columns] }),
    ...(fields !== undefined && {
      fields: fields.map((field) => ({ name: field.name, column: field.column, type: { ...typeOfField(field) } })),
    }),
    ...(filter !== undefined && { filter: comparedColumns(filter, uri).map((compared) => ({ ...compared })) }),
  };
}

/** What there is of a tar: samples, and of each member how many have it and what it takes. */
export interface TarContents {
  readonly rows: number;
  /** All members together. */
  readonly units: readonly Unit[];
  /** By name, as they are met. */
  readonly members: ReadonlyMap<string, { readonly samples: number; readonly bytes: number }>;
  /** Of the first samples, as far as they were at hand: members of JSON, and the headers of arrays. */
  readonly looked: TarScan['looked'];
}

/** The same pass for all members, as nobody has asked for any. Errors: as of `readTarIndex`, but for columns. */
export async function readTarContents(store: Store, object: ObjectInfo, scan: Scan, signal: AbortSignal): Promise<TarContents> {
  const archive = openArchive(store, object, signal);
  const { parts } = archive;
  const cutter = new UnitCutter(parts && ((byte) => mayStartInPart(parts, byte)));
  const members = new Map<string, { samples: number; bytes: number }>();
  const looked: TarScan['looked'][number][] = [];
  const onMember = (name: string, size: number): void => {
    const own = members.get(name) ?? { samples: 0, bytes: 0 };
    members.set(name, { samples: own.samples + 1, bytes: own.bytes + size });
  };
  try {
    const pass: Pass = {
      archive,
      uri: store.uri + object.path,
      request: { column: '', kind: 'none' },
      wanted: 'all',
      scan,
      onMember,
      looked,
    };
    await passOver(pass, cutter, () => undefined, signal);
  } finally {
    await archive.close();
  }
  const cut = cutter.finish();
  return { rows: cutter.rows, units: parts === undefined ? cut : unitsInParts(cut, parts, archive.size ?? 0), members, looked };
}

interface Pass {
  readonly archive: Archive;
  readonly uri: string;
  readonly request: ColumnRequest;
  readonly wanted: readonly string[] | 'all';
  readonly scan: Scan;
  /** Of all that are wanted, where all are. */
  readonly onMember?: (name: string, size: number) => void;
  /** Is filled with what says what is in members, up to a bound. */
  readonly looked?: TarScan['looked'][number][];
}

/** Of an archive that has not come to its end: more than any has. */
const UNKNOWN_SIZE = Number.MAX_SAFE_INTEGER;

async function passOver(
  { archive, uri, request, wanted, scan, onMember, looked }: Pass,
  cutter: UnitCutter,
  onSummary: (summary: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const isContent = archive.parts !== undefined;
  let state = TAR_START;
  let length: number = LIMITS.tarScanBytesMin;
  let at = 0;
  let endByte = 0;
  let lastEntry = 0;
  let lookBytes = looked === undefined ? 0 : LIMITS.inspectedBodiesBytesMax;
  while (at < (archive.size ?? UNKNOWN_SIZE)) {
    // the end of a body comes along: a cache that had all but that would have to ask for it once more, when the samples are read
    const readByte = at - endByte < LIMITS.tarJumpBytes ? Math.min(at, endByte) : at;
    const bytes = await archive.read(readByte, at + length);
    endByte = readByte + bytes.length;
    const { size = UNKNOWN_SIZE } = archive;
    if (at >= size) break;
    const part = await scan(
      'tar-headers',
      { bytes: bytes.subarray(at - readByte), startByte: at, uri, isContent, size, wanted, lookBytes, state },
      signal,
    );
    let named = 0;
    for (let i = 0; i < part.flags.length; i++) {
      cutter.add(part.startBytes[i], part.bodyBytes[i], part.sizes[i], part.flags[i]);
      if (onMember !== undefined && (part.flags[i] & IS_MEMBER) !== 0) onMember(part.names[named++], part.sizes[i]);
    }
    for (const body of part.looked) {
      looked?.push(body);
      lookBytes -= body.bytes.length;
    }
    lastEntry = part.startBytes.at(-1) ?? lastEntry;
    onSummary(part.summary);
    ({ state } = part);
    if (part.nextByte === at && length >= LIMITS.tarScanBytes) throw noTar(uri, `the headers of one member at byte ${at} do not end`);
    // where a body was jumped over, others will be; else what lies between headers comes along
    length = part.nextByte >= endByte + LIMITS.tarJumpBytes ? LIMITS.tarScanBytesMin : Math.min(2 * length, LIMITS.tarScanBytes);
    at = part.nextByte;
  }
  const { size = 0 } = archive;
  if (size === 0) throw noTar(uri, 'it is empty');
  // the size of a plain one is known when its headers are read
  if (at > size)
    throw tarInvalid(
      { uri, startByte: lastEntry, isContent },
      0,
      `has a member of which ${at - size} bytes are not there: it was cut short`,
    );
  const { found, seen } = state;
  const missing = requiredMembers(request).find(
    ({ members }) => !members.some((member) => member === KEY_MEMBER || found.includes(member)),
  );
  if (missing !== undefined && cutter.rows > 0) throw memberMissing(uri, missing.column, seen);
}

function noTar(uri: string, problem: string): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is no tar that can be read: ${problem}`, {
    detail: { uri, byte: 0 },
    hint: 'Write the archive again, or take it out of the source.',
  });
}

function memberMissing(uri: string, column: string, seen: readonly string[]): HeadraceError {
  const near = nearestNames(column, seen);
  const meant = near.length === 0 ? '' : ` Did you mean ${near.join(' or ')}?`;
  return new HeadraceError('COLUMN_MISSING', `no sample of ${uri} has the member ${column}`, {
    detail: { uri, column },
    hint: `Its samples have ${seen.join(', ')}.${meant} Name one of them in its place.`,
  });
}
