/**
 * The index of an MDS shard, which the shard brings along: read at its start, and nothing else but a sample of its content.
 *
 *   ‖ samples: uint32 ‖ where each starts, and the end: uint32 × (samples + 1) ‖ columns: JSON ‖ sample 0 ‖ sample 1 ‖ …
 *
 * A sample: the sizes of those of its values that may have any (uint32 each), then all values, in the order of the columns.
 * Source: `streaming/base/format/mds/writer.py` of MosaicML Streaming 0.13.
 */
import { createHash } from 'node:crypto';
import type { Filter } from '../../core/filter/filter.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { readPinned } from '../ascending-reader.js';
import { codecOfPath } from '../compressed/codec.js';
import type { ColumnRequest, Scan, ShardIndex } from '../decoder.js';
import { ITEM_OFFSET_BYTES, type ItemProblem } from '../items/item-table.js';
import { readItemTable, type ItemUnit, type ItemUnits } from '../items/read-item-table.js';
import { MAGIC_BYTES, nameOfMagic } from '../magic.js';
import { openArchive } from '../compressed/archive.js';
import { leastBytesOf, readColumns } from './columns.js';
import type { MdsColumn, MdsUnitLayout } from './layout.js';
import { MDS_LIMITS } from './limits.js';
import { mdsInvalid, mdsUnsupported } from './mds-error.js';
import { mdsOptionsOf, wantedColumns, type MdsOptions } from './wanted.js';

/** Where the places of samples start. */
export const PLACES_BYTE = 4;
/** They have 32 bits. */
const PLACE_MAX = 2 ** 32 - 1;

/** What a shard says of itself. */
export interface MdsIndex {
  readonly rows: number;
  readonly units: readonly Unit[];
  readonly columns: readonly MdsColumn[];
  readonly contentId: string;
  /** As many as were read on the way. */
  readonly firstSamples: Uint8Array;
}

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readMdsIndex(
  store: Store,
  object: ObjectInfo,
  request: ColumnRequest,
  filter: Filter | undefined,
  scan: Scan,
  signal?: AbortSignal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  const options = mdsOptionsOf(request);
  const { columns, rows, units, contentId } = await readMdsStart(store, object, scan, signal);
  return { contentId: identityOf(contentId, options), rows, units, layout: { ...wantedColumns(columns, request, filter, options, uri) } };
}

/** What a source says of the bytes moves the stream, and nothing else in the manifest tells it. */
function identityOf(contentId: string, { array }: MdsOptions): string {
  return array === undefined ? contentId : createHash('sha256').update(`${contentId} ${array.dtype}`).digest('hex');
}

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function readMdsStart(
  store: Store,
  object: ObjectInfo,
  scan: Scan,
  signal: AbortSignal = new AbortController().signal,
): Promise<MdsIndex> {
  const uri = store.uri + object.path;
  const isPlain = checkEnding(object.path, uri);
  const archive = openArchive(store, object, signal);
  try {
    const start = new Start(uri, isPlain ? object.size : undefined, async (from, to) =>
      object.size === 0 ? new Uint8Array(0) : archive.read(from, to),
    );
    const shard = await start.read(scan, signal);
    const endByte = Math.max(0, object.size - MDS_LIMITS.headBytes);
    const tail = await readPinned({ store, path: object.path, etag: object.etag }, { startByte: endByte, endByte: object.size }, signal);
    const contentId = start.content.update(`${object.size}\n`).update(tail).digest('hex');
    const whole = shard.units.length === 0 ? [] : [wholeUnit(shard.units, object.size)];
    return { ...shard, units: isPlain ? shard.units : whole, contentId };
  } finally {
    await archive.close();
  }
}

/** Whether a shard is not compressed. Errors: `SHARD_UNSUPPORTED`. */
function checkEnding(path: string, uri: string): boolean {
  const unread = /\.(br|bz2|snappy)$/.exec(path)?.[1];
  if (unread === undefined) return codecOfPath(path) === 'plain';
  throw mdsUnsupported(
    uri,
    `it is compressed with ${unread}`,
    'Write it with MDSWriter(compression="zstd") or "gz", or without compression, which lets rows be read apart.',
  );
}

function plainUnit({ startRow, rows, startByte, endByte }: ItemUnit): Unit {
  const layout: MdsUnitLayout = { startByte, endByte };
  return { startRow, rows, decodedBytes: endByte - startByte, storedBytes: endByte - startByte, layout: { ...layout } };
}

/** A compressed shard is read from its start. */
function wholeUnit(units: readonly Unit[], size: number): Unit {
  const { startByte } = units[0].layout as MdsUnitLayout;
  const { endByte } = units[units.length - 1].layout as MdsUnitLayout;
  const rows = units.reduce((sum, unit) => sum + unit.rows, 0);
  return { startRow: 0, rows, decodedBytes: endByte - startByte, storedBytes: size, isWhole: true, layout: { startByte, endByte } };
}

class Start {
  readonly #uri: string;
  /** `undefined`: not known. */
  readonly #size: number | undefined;
  readonly #readBytes: (startByte: number, endByte: number) => Promise<Uint8Array>;
  readonly content = createHash('sha256');
  #head: Uint8Array = new Uint8Array(0);

  constructor(uri: string, size: number | undefined, readBytes: (startByte: number, endByte: number) => Promise<Uint8Array>) {
    this.#uri = uri;
    this.#size = size;
    this.#readBytes = readBytes;
  }

  async read(scan: Scan, signal: AbortSignal): Promise<Omit<MdsIndex, 'contentId'>> {
    this.#head = await this.#readBytes(0, MDS_LIMITS.headBytes);
    const rows = this.#number(0, 'it ends before it has begun');
    const placesEnd = PLACES_BYTE + ITEM_OFFSET_BYTES * (rows + 1);
    if (this.#size !== undefined && placesEnd > this.#size) {
      throw this.#invalid(0, `it claims ${rows} samples, and has ${this.#size} bytes`);
    }
    if (this.#size === undefined && placesEnd > MDS_LIMITS.heldPlacesBytesMax) {
      throw mdsUnsupported(this.#uri, `it is compressed, and has ${rows} samples`, 'Write more and smaller shards, or no compression.');
    }
    const samplesByte = this.#number(PLACES_BYTE, `it claims ${rows} samples, and ends`);
    const configBytes = samplesByte - placesEnd;
    if (configBytes < 0 || configBytes > MDS_LIMITS.configBytesMax) {
      throw this.#invalid(PLACES_BYTE, `it claims ${rows} samples, the first of which starts at byte ${samplesByte}`);
    }
    const { units, endByte, shortest } = await this.#readPlaces(rows, samplesByte, scan, signal);
    if (this.#size !== undefined && endByte !== this.#size) {
      throw this.#invalid(PLACES_BYTE + ITEM_OFFSET_BYTES * rows, `its samples end at byte ${endByte}, and it has ${this.#size} bytes`);
    }
    const after = await this.#readBetween(placesEnd, Math.min(samplesByte + MDS_LIMITS.headBytes, Math.max(samplesByte, endByte)));
    if (after.length < configBytes) throw this.#invalid(placesEnd + after.length, 'it ends within its description of the columns');
    this.content.update(after);
    const columns = readColumns(after.subarray(0, configBytes), { uri: this.#uri, byte: placesEnd });
    const leastBytes = leastBytesOf(columns);
    if (shortest.bytes < leastBytes) {
      const byte = PLACES_BYTE + ITEM_OFFSET_BYTES * shortest.item;
      throw mdsInvalid(
        { uri: this.#uri, byte, row: shortest.item },
        `a sample has ${shortest.bytes} bytes, and with these columns each has ${leastBytes}`,
      );
    }
    return { rows, units: units.map(plainUnit), columns, firstSamples: after.subarray(configBytes) };
  }

  async #readPlaces(rows: number, samplesByte: number, scan: Scan, signal: AbortSignal): Promise<ItemUnits> {
    const read = async (startByte: number, endByte: number): Promise<Uint8Array> => {
      const bytes = await this.#readBetween(startByte, endByte);
      if (bytes.length < endByte - startByte) throw this.#invalid(startByte + bytes.length, `it claims ${rows} samples, and ends`);
      return bytes;
    };
    const refused = ({ item: row, isLong, message }: ItemProblem, byte: number): Error =>
      isLong ? mdsUnsupported(this.#uri, message, 'Write shorter samples.') : mdsInvalid({ uri: this.#uri, byte, row }, message);
    const endByte = this.#size ?? PLACE_MAX;
    const found = await readItemTable(
      read,
      { tableByte: PLACES_BYTE, items: rows, startByte: samplesByte, endByte },
      scan,
      refused,
      signal,
    );
    for (const digest of found.digests) this.content.update(digest);
    return found;
  }

  /** In a buffer of their own; fewer where the content ends. Never before what was asked for last. */
  async #readBetween(startByte: number, endByte: number): Promise<Uint8Array> {
    const isHeld = endByte <= this.#head.length || this.#head.length < MDS_LIMITS.headBytes;
    return isHeld ? this.#head.slice(startByte, endByte) : (await this.#readBytes(startByte, endByte)).slice();
  }

  #number(byte: number, problem: string): number {
    if (this.#head.length < byte + 4) throw this.#invalid(this.#head.length, problem);
    return new DataView(this.#head.buffer, this.#head.byteOffset).getUint32(byte, true);
  }

  #invalid(byte: number, problem: string): Error {
    const name = nameOfMagic(this.#head.subarray(0, MAGIC_BYTES));
    return mdsInvalid({ uri: this.#uri, byte }, name === undefined ? problem : `it seems to be ${name}`);
  }
}
