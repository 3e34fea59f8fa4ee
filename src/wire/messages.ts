/** The messages of docs/wire.md, and their bytes: pure, no socket. */
import * as z from 'zod';
import { LIMITS } from '../config/limits.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { nextPackedByte, packedLayout } from '../core/packed-arrays.js';
import { oddPositionIn, positionNumbers } from './positions.js';

export const WIRE_VERSION = 5;
const MAGIC_0 = 0x48;
const MAGIC_1 = 0x52;
const PRELUDE_BYTES = 4;

const count = z.int().min(0);
const session = count;
const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const planRecord = z.record(z.string(), scalar);
/** Checked by `parseCursor`, whose error says more. */
const cursor = z.unknown();
const weights = z.record(z.string(), z.number().min(0));
const changes = z.array(z.object({ at: count, weights, ramp: count }));

const arraySchema = z.object({
  name: z.string(),
  dtype: z.enum(['int32', 'uint8', 'uint16', 'int64', 'float32', 'float64']),
  shape: z.array(count),
});

const batchSchema = z.object({
  step: count,
  tokens: count,
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  mixture: changes,
  segments: count,
  masked: z.boolean(),
  arrays: z.array(arraySchema),
});

const SCHEMAS = {
  HELLO: z.object({
    client: z.string(),
    consumer: z.string(),
    incarnation: count,
    rank: z.int(),
    worldSize: z.int(),
    credits: z.int().min(1).max(LIMITS.creditsMax),
    expect: planRecord,
    cursors: z.array(cursor),
    split: z.enum(['train', 'validation']).optional(),
  }),
  WELCOME: z.object({
    session,
    server: z.string(),
    heartbeatMs: z.int().min(1),
    rows: z.int().min(1),
    length: z.int().min(1),
    padId: count,
    vocabSize: count,
    cursor,
  }),
  CREDIT: z.object({
    session,
    credits: z.int().min(1).max(LIMITS.creditsMax),
    step: count,
    waitsMs: z.array(z.number().min(0)).max(LIMITS.creditsMax).optional(),
  }),
  BATCHES: z.object({
    session,
    rows: z.int().min(1),
    length: z.int().min(1),
    ids: z.boolean(),
    lanes: z.array(count),
    sources: z.array(z.string()),
    batches: z.array(batchSchema).min(1),
    fields: z.array(z.object({ name: z.string(), kind: z.enum(['bytes', 'text', 'numbers']) })).optional(),
  }),
  END: z.object({ session, step: count }),
  ERROR: z.object({ session, code: z.string(), message: z.string(), hint: z.string(), detail: planRecord }),
  PING: z.object({ session }),
  PONG: z.object({ session }),
  BYE: z.object({ session }),
  MIX: z.object({ at: count.nullable(), after: count.nullable(), weights, ramp: count }),
  MIXED: z.object({ at: count, weights, ramp: count }),
} as const;

type Schemas = typeof SCHEMAS;
export type MessageType = keyof Schemas;
export type MessageOf<T extends MessageType> = { readonly type: T } & Readonly<z.output<Schemas[T]>>;
export type Message = { readonly [T in MessageType]: MessageOf<T> }[MessageType];
export type WireArray = Readonly<z.output<typeof arraySchema>>;
export type WireBatch = Readonly<z.output<typeof batchSchema>>;

const TYPE_BYTES: Readonly<Record<MessageType, number>> = {
  HELLO: 1,
  WELCOME: 2,
  CREDIT: 3,
  BATCHES: 4,
  END: 5,
  ERROR: 6,
  PING: 7,
  PONG: 8,
  BYE: 9,
  MIX: 10,
  MIXED: 11,
};

const TYPES = Object.keys(TYPE_BYTES) as MessageType[];
const KEYS = perType((type) => Object.keys(SCHEMAS[type].shape));
/** Four characters below 0x80, which UTF-8 has in a byte each. */
const PRELUDES = perType((type) => String.fromCharCode(MAGIC_0, MAGIC_1, WIRE_VERSION, TYPE_BYTES[type]));

function perType<T>(of: (type: MessageType) => T): Readonly<Record<MessageType, T>> {
  return Object.fromEntries(TYPES.map((type) => [type, of(type)])) as Record<MessageType, T>;
}

const BYTES_OF_DTYPE: Readonly<Record<WireArray['dtype'], number>> = { int32: 4, uint8: 1, uint16: 2, int64: 8, float32: 4, float64: 8 };

/** A message as its sender has it: nothing of it is written to. */
export type Unsent<T> = T extends object ? { readonly [K in keyof T]: Unsent<T[K]> } : T;

/** Frame 0 of a message. */
export function encodeHeader(message: Unsent<Message>): Buffer {
  return Buffer.from(headerText(message));
}

/** Frame 0 of a message, whose UTF-8 it is. Keys are written in the specification's order, which is the schemas'. */
export function headerText(message: Unsent<Message>): string {
  const values: Readonly<Record<string, unknown>> = message;
  const ordered: Record<string, unknown> = {};
  for (const key of KEYS[message.type]) ordered[key] = values[key];
  return PRELUDES[message.type] + JSON.stringify(ordered);
}

/** A batch's entry in `BATCHES`, for `batchesText`. */
export function batchText({ step, tokens, digest, mixture, segments, masked, arrays }: Unsent<WireBatch>): string {
  return JSON.stringify({ step, tokens, digest, mixture, segments, masked, arrays });
}

/** `headerText` of `BATCHES`, whose entries were written one by one. */
export function batchesText(message: Unsent<Omit<MessageOf<'BATCHES'>, 'type' | 'batches'>>, batches: readonly string[]): string {
  const { session, rows, length, ids, lanes, sources, fields } = message;
  const ofAll = JSON.stringify({ session, rows, length, ids, lanes, sources }).slice(0, -1);
  return `${PRELUDES.BATCHES}${ofAll},"batches":[${batches.join(',')}]${fields === undefined ? '' : `,"fields":${JSON.stringify(fields)}`}}`;
}

/** A message, and the frames after its header. */
export interface DecodedMessage {
  readonly message: Message;
  /** Of `BATCHES`: the cores of all batches, their positions, then one view a wire array, in the header's order. Empty of the others. */
  readonly frames: readonly Uint8Array[];
}

/** Errors: `BAD_MESSAGE`. */
export function decodeMessage(frames: readonly Uint8Array[]): DecodedMessage {
  const header = frames.at(0);
  if (header === undefined) throw badMessage('it has no frame');
  const message = decodeHeader(header);
  const bodies = frames.slice(1);
  const due = message.type === 'BATCHES' ? framesDue(message) : [];
  if (bodies.length !== due.length)
    throw badMessage(`${message.type} has ${bodies.length} frames of arrays where its header names ${due.length}`);
  for (const [index, { name, bytes }] of due.entries()) {
    if (bodies[index].byteLength !== bytes)
      throw badMessage(`${name} has ${bodies[index].byteLength} bytes where the header says ${bytes}`);
  }
  const odd = message.type === 'BATCHES' ? oddPositionIn(bodies[1]) : undefined;
  if (odd !== undefined) throw badMessage(`a position has the number ${odd}`);
  return { message, frames: bodies };
}

interface FrameDue {
  readonly name: string;
  readonly bytes: number;
}

/** The frames of its batches, and their sizes. */
function framesDue(message: MessageOf<'BATCHES'>): FrameDue[] {
  const { rows, length, batches } = message;
  const cores: FrameDue = { name: 'the frame of cores', bytes: corePlaces(message)[batches.length - 1].endByte };
  const positions: FrameDue = {
    name: 'the frame of positions',
    bytes: batches.length * positionNumbers(message) * BYTES_OF_DTYPE.float64,
  };
  const arrays = batches.flatMap((batch) => {
    if (!batch.masked && batch.tokens !== rows * length) throw badMessage(`the batch of step ${batch.step} has padding, and no mask`);
    return batch.arrays.map(({ name, dtype, shape }) => ({
      name: `array ${name} of step ${batch.step}`,
      bytes: shape.reduce((product, size) => product * size, BYTES_OF_DTYPE[dtype]),
    }));
  });
  return [cores, positions, ...arrays];
}

/** Where the cores of the batches lie in their frame. */
export function corePlaces({
  rows,
  length,
  ids,
  batches,
}: MessageOf<'BATCHES'>): { readonly startByte: number; readonly endByte: number }[] {
  let end = 0;
  return batches.map(({ segments, masked }) => {
    const startByte = nextPackedByte(end);
    end = startByte + packedLayout({ rows, length, segments, hasIds: ids, isMasked: masked }).bytes;
    return { startByte, endByte: end };
  });
}

function decodeHeader(header: Uint8Array): Message {
  if (header.length < PRELUDE_BYTES || header[0] !== MAGIC_0 || header[1] !== MAGIC_1) throw badMessage('it does not start with HR');
  if (header.length > LIMITS.headerBytesMax) throw badMessage(`its header has ${header.length} bytes, more than ${LIMITS.headerBytesMax}`);
  if (header[2] !== WIRE_VERSION) throw badMessage(`it has protocol version ${header[2]}; this is version ${WIRE_VERSION}`);
  const type = MESSAGE_TYPES.get(header[3]);
  if (type === undefined) throw badMessage(`its type is ${header[3]}`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header.subarray(PRELUDE_BYTES)));
  } catch (error) {
    throw badMessage(`its header is not JSON in UTF-8 (${messageOf(error)})`);
  }
  const parsed = SCHEMAS[type].safeParse(json);
  if (parsed.success) return { type, ...parsed.data } as Message;
  const [issue] = parsed.error.issues;
  throw badMessage(`${type}.${issue.path.map(String).join('.')}: ${issue.message}`);
}

const MESSAGE_TYPES = new Map(TYPES.map((type) => [TYPE_BYTES[type], type]));

function badMessage(problem: string): HeadraceError {
  return new HeadraceError('BAD_MESSAGE', `a message does not follow the wire protocol: ${problem}`, {
    hint: 'Both sides must run compatible versions of headrace; docs/wire.md is the specification.',
  });
}
