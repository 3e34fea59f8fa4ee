/** Finds the members of a tar in a part of it: the worker's half of the index. */
import { LIMITS } from '../../config/limits.js';
import { endingOf, JSON_ENDINGS } from './member-choice.js';
import { memberName } from './member-name.js';
import { readTarEntry, tarBytes, tarInvalid, type TarPlace } from './tar-entry.js';

/** What is known of the archive before a part of it. */
export interface TarScanState {
  /** The key of the last member; members of one key that lie side by side are one sample. */
  readonly key: string | undefined;
  /** Names of members that were seen, the first few. */
  readonly seen: readonly string[];
  /** Those that are wanted and were seen. */
  readonly found: readonly string[];
  /** The end was found: only zeros may follow. */
  readonly ended: boolean;
}

export const TAR_START: TarScanState = { key: undefined, seen: [], found: [], ended: false };

export interface TarScanRequest {
  /** From the start of an entry on. Transferred. */
  readonly bytes: Uint8Array;
  readonly startByte: number;
  readonly uri: string;
  readonly isContent: boolean;
  /** Of the archive; as long as nobody knows it, more than it can have. */
  readonly size: number;
  /** `all`: every member is, and is named. */
  readonly wanted: readonly string[] | 'all';
  /** How many bytes of bodies that say what is in them are given back; left out: none. */
  readonly lookBytes?: number;
  readonly state: TarScanState;
}

/** Of an entry: it starts a sample. */
export const STARTS_SAMPLE = 1;
/** Of an entry: it is a member that is wanted. */
export const IS_WANTED = 2;
/** Of an entry: it is a member. */
export const IS_MEMBER = 4;

export interface TarScan {
  /** By entry, in the object: its headers' start, its body's start, and the body's size. */
  readonly startBytes: Float64Array;
  readonly bodyBytes: Float64Array;
  readonly sizes: Float64Array;
  /** By entry: the sum of the flags. */
  readonly flags: Uint8Array;
  /** By entry that is a member, its name; empty where single members are wanted. */
  readonly names: readonly string[];
  /** By name: bodies of JSON, and the headers of arrays, as far as they lie in these bytes. */
  readonly looked: readonly { readonly member: string; readonly size: number; readonly bytes: Uint8Array }[];
  /** A line an entry, for the shard's identity. */
  readonly summary: Uint8Array;
  /** Where the next entry starts: behind these bytes, where a body goes on; or before their end, where headers do. */
  readonly nextByte: number;
  readonly state: TarScanState;
}

const SEEN_MAX = 12;

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function scanTarHeaders({ bytes: given, startByte, uri, isContent, size, wanted, lookBytes = 0, state }: TarScanRequest): TarScan {
  const part = tarBytes(given);
  const { bytes } = part;
  const place: TarPlace = { uri, startByte, isContent };
  const endByte = startByte + bytes.length;
  const [startBytes, bodyBytes, sizes, flags]: number[][] = [[], [], [], []];
  const seen = new Set(state.seen);
  const found = new Set(state.found);
  const names: string[] = [];
  const looked: { member: string; size: number; bytes: Uint8Array }[] = [];
  let lookLeft = lookBytes;
  const isWanted = new Set(wanted === 'all' ? [] : wanted);
  let { key, ended } = state;
  let summary = '';
  let at = 0;
  const finish = (nextByte: number): TarScan => ({
    startBytes: Float64Array.from(startBytes),
    bodyBytes: Float64Array.from(bodyBytes),
    sizes: Float64Array.from(sizes),
    flags: Uint8Array.from(flags),
    names,
    looked,
    summary: Buffer.from(summary),
    nextByte,
    state: { key, ended, seen: [...seen], found: [...found] },
  });
  while (!ended && at < bytes.length) {
    const entry = readTarEntry(part, at, place);
    if (entry === 'more') {
      if (endByte < size) return finish(startByte + at);
      throw tarInvalid(place, at, `ends within a header: it was cut short`);
    }
    if (entry === 'end') {
      ended = true;
      break;
    }
    const { isFile, name } = entry;
    if (startByte + entry.endByte > size) {
      const missing = startByte + entry.endByte - size;
      throw tarInvalid(place, entry.startByte, `has a member of ${entry.size} bytes, of which ${missing} are not there: it was cut short`);
    }
    const named = isFile ? memberName(name) : undefined;
    let flag = 0;
    if (named !== undefined) {
      if (seen.size < SEEN_MAX) seen.add(named.member);
      flag = IS_MEMBER + (named.key === key ? 0 : STARTS_SAMPLE);
      if (wanted === 'all') {
        flag += IS_WANTED;
        names.push(named.member);
      } else if (isWanted.has(named.member)) {
        flag += IS_WANTED;
        found.add(named.member);
      }
      key = named.key;
      const body = lookLeft > 0 ? lookedBody(bytes, entry.bodyByte, entry.size, named.member) : undefined;
      if (body !== undefined) {
        looked.push({ member: named.member, size: entry.size, bytes: body });
        lookLeft -= body.length;
      }
    }
    startBytes.push(startByte + entry.startByte);
    bodyBytes.push(startByte + entry.bodyByte);
    sizes.push(entry.size);
    flags.push(flag);
    summary += `${entry.size} ${bytes.toString('latin1', entry.bodyByte - MAIN_HEADER_TAIL, entry.bodyByte - MAIN_HEADER_TAIL + MTIME_BYTES)} ${name}\n`;
    at = entry.endByte;
  }
  if (ended) checkZeros(bytes, at, place);
  return finish(ended ? endByte : startByte + at);
}

/** What says what is in a member, copied: all of one of JSON, the start of an array. `undefined`: it is neither, or too large, or goes on behind these bytes. */
function lookedBody(bytes: Buffer, startByte: number, size: number, member: string): Uint8Array | undefined {
  const ending = endingOf(member);
  if (ending !== 'npy' && !JSON_ENDINGS.has(ending)) return undefined;
  const wanted = ending === 'npy' ? Math.min(size, LIMITS.inspectedBodyBytesMax) : size;
  if (wanted > LIMITS.inspectedBodyBytesMax || startByte + wanted > bytes.length) return undefined;
  return Uint8Array.from(bytes.subarray(startByte, startByte + wanted));
}

/** The time of its last change, of the main header, which ends where the body starts. */
const MAIN_HEADER_TAIL = 512 - 136;
const MTIME_BYTES = 11;

/** Readers stop at the first block of zeros. Where data follows, archives were joined, or a part was lost: what comes then is not left out in silence. */
function checkZeros(bytes: Buffer, from: number, place: TarPlace): void {
  for (let i = from; i < bytes.length; i++) {
    if (bytes[i] !== 0)
      throw tarInvalid(place, i, 'goes on after its end: a part of it was zeroed, or archives were joined without `tar --concatenate`');
  }
}

/** Whether a body that lies between what is wanted is not read. */
export function isJumped(size: number, isWanted: boolean): boolean {
  return size > (isWanted ? LIMITS.tarMemberBytesMax : LIMITS.tarJumpBytes);
}
