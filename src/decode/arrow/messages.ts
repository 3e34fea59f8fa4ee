/**
 * Finds the messages of an Arrow object without reading their bodies: a file says in its footer where they are, a stream is passed over from one to the
 * next.
 *
 *   file     ARROW1 │ schema │ message body │ message body │ … │ footer │ length ARROW1
 *   stream            schema │ message body │ message body │ … │ end
 *   message  FFFFFFFF length │ flatbuffer                        before Arrow 0.15 without the first four bytes
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import { mapConcurrent } from '../../core/map-concurrent.js';
import { HeadraceError } from '../../core/errors.js';
import type { ByteRange } from '../../store/store.js';
import { readPinned, type PinnedObject } from '../ascending-reader.js';
import { ArrowMetadataError, readFooter, readMessage, type ArrowMessage, type ArrowPlace, type ArrowSchema } from './metadata.js';

export interface FoundMessage {
  readonly message: Extract<ArrowMessage, { readonly kind: 'batch' | 'dictionary' }>;
  readonly bodyByte: number;
}

/** Reads a few bytes of a body. */
export type ReadBytes = (startByte: number, endByte: number) => Promise<Uint8Array>;

export interface FoundArrow {
  readonly schema: ArrowSchema;
  /** SHA-256 (hex) of all metadata. */
  readonly contentId: string;
}

export interface ArrowVisitor {
  schema(schema: ArrowSchema): void;
  /** What of a message's body `message` will read, where it is to be had at once. */
  peeks(found: FoundMessage): readonly ByteRange[];
  /** In the order in which they count: a dictionary before the batches that need it. */
  message(found: FoundMessage, read: ReadBytes): Promise<void>;
}

const MAGIC = 'ARROW1';
const CONTINUATION = 0xffffffff;
/** Of messages and bodies, in bytes. */
const ALIGNMENT = 8;
/** Between messages, and before the footer: the end of a stream, and what fills up to the widest alignment that writers have. No message is as short. */
const GAP_BYTES_MAX = 64 + ALIGNMENT;

/** Throws `ArrowMetadataError`, `ArrowUnsupported`. Errors: those of `Store.read`, `SHARD_UNSUPPORTED`. */
export async function visitMessages(object: PinnedObject, size: number, visitor: ArrowVisitor, signal: AbortSignal): Promise<string> {
  const head = await readPinned(object, { startByte: 0, endByte: Math.min(size, LIMITS.arrowHeadBytes) }, signal);
  const magic = Buffer.from(head.subarray(0, 8)).toString('latin1');
  if (magic.startsWith('FEA1')) {
    const uri = object.store.uri + object.path;
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} is of Feather's first version`, {
      detail: { uri },
      hint: 'Write it anew with pyarrow.feather.write_feather, which writes the Arrow IPC format.',
    });
  }
  return magic.startsWith(MAGIC) ? visitFile(object, size, head, visitor, signal) : visitStream(object, size, head, visitor, signal);
}

/** Messages are read by many at a time, and visited in order. */
async function visitFile(
  object: PinnedObject,
  size: number,
  head: Uint8Array,
  visitor: ArrowVisitor,
  signal: AbortSignal,
): Promise<string> {
  const tailBytes = MAGIC.length + 4;
  if (size < 8 + tailBytes) throw new ArrowMetadataError(`it has only ${size} bytes`);
  const guess = Math.min(size, LIMITS.footerGuessBytes);
  const tail = await readPinned(object, { startByte: size - guess, endByte: size }, signal);
  if (Buffer.from(tail.subarray(guess - MAGIC.length)).toString('latin1') !== MAGIC)
    throw new ArrowMetadataError('it does not end with ARROW1: it is cut off');
  const footerBytes = new DataView(tail.buffer, tail.byteOffset, guess).getInt32(guess - tailBytes, true);
  if (!(footerBytes > 0 && footerBytes <= size - tailBytes - 8 && footerBytes <= LIMITS.footerBytesMax)) {
    throw new ArrowMetadataError(`its footer claims ${footerBytes} bytes of ${size}`);
  }
  const endByte = size - tailBytes;
  const footer =
    footerBytes + tailBytes <= guess
      ? tail.slice(guess - tailBytes - footerBytes, guess - tailBytes)
      : await readPinned(object, { startByte: endByte - footerBytes, endByte }, signal);
  const { schema, dictionaries, batches } = readFooter(footer);
  checkCoverage([...dictionaries, ...batches], schemaEnd(head), endByte - footerBytes);
  visitor.schema(schema);
  const content = createHash('sha256').update(footer);
  for (const places of [dictionaries, batches]) {
    for (let first = 0; first < places.length; first += LIMITS.arrowMessagesAtOnce) {
      const own = places.slice(first, first + LIMITS.arrowMessagesAtOnce);
      const found = await mapConcurrent(
        own,
        LIMITS.footerConcurrencyMax,
        (place, _index, reading) => readAt(object, size, place, reading),
        signal,
      );
      const messages = found.map(({ message, bodyByte }): FoundMessage => {
        if (message.kind !== (places === batches ? 'batch' : 'dictionary'))
          throw new ArrowMetadataError('its footer points to a message of another kind');
        return { message, bodyByte };
      });
      const ranges = messages.flatMap((one) => visitor.peeks(one));
      const readBytes = await peeked(object, ranges, signal);
      for (const [i, message] of messages.entries()) {
        content.update(found[i].metadata);
        await visitor.message(message, readBytes);
      }
    }
  }
  return content.digest('hex');
}

/** Of the message that a file begins with. */
function schemaEnd(head: Uint8Array): number {
  const { prefixBytes, metadataBytes } = prefixOf(head.subarray(ALIGNMENT));
  return ALIGNMENT + prefixBytes + metadataBytes;
}

/**
 * A file is a stream between its magic and its footer: what lies in it and is not in the footer's list, a damaged list has lost. Throws `ArrowMetadataError`.
 */
function checkCoverage(places: readonly ArrowPlace[], startByte: number, endByte: number): void {
  let end = startByte;
  const check = (next: number): void => {
    if (next - end > GAP_BYTES_MAX) throw new ArrowMetadataError(`its footer names no message between bytes ${end} and ${next}`);
  };
  for (const place of [...places].sort((a, b) => a.startByte - b.startByte)) {
    check(place.startByte);
    end = Math.max(end, place.startByte + place.metadataBytes + place.bodyBytes);
  }
  check(endByte);
}

/** Reads ranges by many at a time; what is asked for and not among them is read then. */
async function peeked(object: PinnedObject, ranges: readonly ByteRange[], signal: AbortSignal): Promise<ReadBytes> {
  const held = new Map<number, Uint8Array>();
  await mapConcurrent(
    ranges,
    LIMITS.footerConcurrencyMax,
    async (range, _index, reading) => void held.set(range.startByte, await readPinned(object, range, reading)),
    signal,
  );
  return async (startByte, endByte) => {
    const bytes = held.get(startByte);
    return bytes?.length === endByte - startByte ? bytes : readPinned(object, { startByte, endByte }, signal);
  };
}

async function readAt(object: PinnedObject, size: number, { startByte, metadataBytes, bodyBytes }: ArrowPlace, signal: AbortSignal) {
  const bodyByte = startByte + metadataBytes;
  if (metadataBytes < 8 || metadataBytes > LIMITS.arrowMetadataBytesMax || bodyByte + bodyBytes > size) {
    throw new ArrowMetadataError(`a message claims bytes ${startByte} to ${bodyByte + bodyBytes} of ${size}`);
  }
  const bytes = await readPinned(object, { startByte, endByte: bodyByte }, signal);
  const { prefixBytes, metadataBytes: own } = prefixOf(bytes);
  if (prefixBytes + own > metadataBytes) throw new ArrowMetadataError('a message is longer than the footer says');
  const metadata = bytes.slice(prefixBytes);
  const message = readMessage(metadata);
  if (message.bodyBytes > bodyBytes) throw new ArrowMetadataError('the body of a message is longer than the footer says');
  return { message, bodyByte, metadata };
}

function prefixOf(bytes: Uint8Array): { readonly prefixBytes: number; readonly metadataBytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const first = view.getUint32(0, true);
  const isOld = first !== CONTINUATION;
  return { prefixBytes: isOld ? 4 : 8, metadataBytes: isOld ? first : view.getUint32(4, true) };
}

async function visitStream(
  object: PinnedObject,
  size: number,
  head: Uint8Array,
  visitor: ArrowVisitor,
  signal: AbortSignal,
): Promise<string> {
  const read = forwardReader(object, size, head, signal);
  const content = createHash('sha256');
  let hasSchema = false;
  for (let at = 0; at < size;) {
    if (at + 8 > size) {
      if (at + 4 === size && hasSchema && new DataView((await read(at, size)).slice().buffer).getUint32(0, true) === 0) break;
      throw new ArrowMetadataError(`it ends at byte ${size}, in the middle of a message`);
    }
    const { prefixBytes, metadataBytes } = prefixOf(await read(at, at + 8));
    if (metadataBytes === 0 && hasSchema) {
      await checkEnd(at + prefixBytes, size, read);
      break;
    }
    const bodyByte = at + prefixBytes + metadataBytes;
    const isNone = metadataBytes === 0 || metadataBytes > LIMITS.arrowMetadataBytesMax;
    if (isNone && !hasSchema) throw new ArrowMetadataError('it is neither an Arrow file nor a stream');
    if (isNone) throw new ArrowMetadataError(`the message at byte ${at} claims ${metadataBytes} bytes of metadata`);
    if (bodyByte > size)
      throw new ArrowMetadataError(
        hasSchema ? `it ends at byte ${size}, in the middle of a message` : 'it is neither an Arrow file nor a stream',
      );
    const metadata = (await read(at + prefixBytes, bodyByte)).slice();
    const message = readMessage(metadata);
    content.update(metadata);
    if (bodyByte + message.bodyBytes > size) throw new ArrowMetadataError(`it ends at byte ${size}, in the middle of a message`);
    if (message.kind === 'schema') {
      if (hasSchema) throw new ArrowMetadataError(`it has a second schema at byte ${at}`);
      hasSchema = true;
      visitor.schema(message.schema);
    } else if (!hasSchema) throw new ArrowMetadataError('it does not start with a schema');
    else if (message.kind === 'other')
      throw new ArrowMetadataError(`the message at byte ${at} is neither of a dictionary nor of a record batch`);
    else await visitor.message({ message, bodyByte }, read);
    at = bodyByte + message.bodyBytes;
  }
  if (!hasSchema) throw new ArrowMetadataError('it is empty');
  return content.digest('hex');
}

/** The length of a message that was zeroed says that the stream ends here: rows behind it are not left out in silence. Up to eight bytes are filled up. */
async function checkEnd(endByte: number, size: number, read: ReadBytes): Promise<void> {
  const rest = size - endByte;
  if (rest < ALIGNMENT && (await read(endByte, size)).every((byte) => byte === 0)) return;
  throw new ArrowMetadataError(`it ends at byte ${endByte}, and ${rest} bytes follow: a part of it was zeroed, or streams were joined`);
}

/** Reads on where bodies are small, and leaps over large ones. Answers views that hold until the next call. */
function forwardReader(object: PinnedObject, size: number, head: Uint8Array, signal: AbortSignal): ReadBytes {
  let held = head;
  let heldStart = 0;
  return async (startByte, endByte) => {
    const heldEnd = heldStart + held.length;
    if (startByte < heldStart || endByte > heldEnd) {
      const isNear = startByte >= heldStart && startByte - heldEnd < LIMITS.readAheadBytes;
      const wanted = startByte + (isNear ? LIMITS.arrowPassBytes : LIMITS.arrowHeadBytes);
      held = await readPinned(object, { startByte, endByte: Math.min(size, Math.max(endByte, wanted)) }, signal);
      heldStart = startByte;
    }
    return held.subarray(startByte - heldStart, endByte - heldStart);
  };
}
