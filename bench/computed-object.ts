/**
 * Objects that nobody stores: any range of them is computed when it is asked for, so that one of 20 GB needs neither a disk nor memory. A web server on
 * 127.0.0.1 has them, and counts what it sends.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { tarOf, withChecksum } from '../test/support/tar.js';

export interface ComputedObject {
  readonly size: number;
  /** Writes the bytes from `startByte` on over all of `target`, which ends before the object does. */
  fill(target: Uint8Array, startByte: number): void;
}

export function bytesObject(bytes: Uint8Array): ComputedObject {
  return { size: bytes.length, fill: (target, startByte) => target.set(bytes.subarray(startByte, startByte + target.length)) };
}

/** `count` times the same bytes. `number`: writes into them which time it is. */
export function repeated(
  bytes: Uint8Array,
  count: number,
  number: (bytes: Uint8Array, index: number) => void = () => undefined,
): ComputedObject {
  const unit = Uint8Array.from(bytes);
  return {
    size: count * unit.length,
    fill: (target, startByte) => {
      for (let at = 0; at < target.length;) {
        const index = Math.floor((startByte + at) / unit.length);
        const from = startByte + at - index * unit.length;
        number(unit, index);
        const part = unit.subarray(from, from + target.length - at);
        target.set(part, at);
        at += part.length;
      }
    },
  };
}

export function joined(...parts: readonly ComputedObject[]): ComputedObject {
  const starts: number[] = [];
  let size = 0;
  for (const part of parts) {
    starts.push(size);
    size += part.size;
  }
  return {
    size,
    fill: (target, startByte) => {
      for (const [i, part] of parts.entries()) {
        const from = Math.max(startByte, starts[i]);
        const to = Math.min(startByte + target.length, starts[i] + part.size);
        if (from < to) part.fill(target.subarray(from - startByte, to - startByte), from - starts[i]);
      }
    },
  };
}

const KEY_DIGITS = 9;
const BLOCK = 512;

/** Samples of a text and an image of zeros each, their keys counted from `first` on. */
export function tarSamples(count: number, first: number, text: string, imageBytes: number): ComputedObject {
  const key = '0'.repeat(KEY_DIGITS);
  const sample = tarOf([
    { name: `${key}.txt`, body: text },
    { name: `${key}.jpg`, body: '\0'.repeat(imageBytes) },
  ]).slice(0, -2 * BLOCK);
  const imageHeader = BLOCK + Math.ceil(Buffer.byteLength(text) / BLOCK) * BLOCK;
  return repeated(sample, count, (bytes, index) => {
    for (const at of [0, imageHeader]) {
      Buffer.from(bytes.buffer).write(String(first + index).padStart(KEY_DIGITS, '0'), at, 'latin1');
      bytes.set(withChecksum(bytes.subarray(at, at + BLOCK), 0), at);
    }
  });
}

/** A member of one sample, however long. */
export function tarMember(name: string, body: ComputedObject): ComputedObject {
  const header = tarOf([{ name, body: '', size: body.size }]).slice(0, BLOCK);
  return joined(bytesObject(header), body, bytesObject(new Uint8Array((BLOCK - (body.size % BLOCK)) % BLOCK)));
}

export const TAR_END = bytesObject(new Uint8Array(2 * BLOCK));

export interface ComputedOrigin {
  /** Of an object, by its name. */
  url(name: string): string;
  /** Bytes of bodies. */
  readonly sent: number;
  close(): void;
}

const PIECE_BYTES = 512 * 2 ** 10;

/** `onSent`: told of the sum after each piece. */
export async function startComputedOrigin(
  objects: ReadonlyMap<string, ComputedObject>,
  onSent: (sent: number) => void,
): Promise<ComputedOrigin> {
  let sent = 0;
  function* pieces(object: ComputedObject, startByte: number, endByte: number): Generator<Uint8Array, void, undefined> {
    for (let at = startByte; at < endByte; at += PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, endByte - at));
      object.fill(piece, at);
      sent += piece.length;
      onSent(sent);
      yield piece;
    }
  }
  const server = createServer((request, response) => {
    const object = objects.get((request.url ?? '/').slice(1));
    if (object === undefined) return void response.writeHead(404).end();
    const headers = { etag: `"${object.size}"`, 'accept-ranges': 'bytes' };
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const [startByte, endByte] = range === null ? [0, object.size] : [Number(range[1]), Math.min(Number(range[2]) + 1, object.size)];
    response.writeHead(range === null ? 200 : 206, {
      ...headers,
      'content-length': endByte - startByte,
      ...(range !== null && { 'content-range': `bytes ${startByte}-${endByte - 1}/${object.size}` }),
    });
    if (request.method === 'HEAD') response.end();
    else pipeline(Readable.from(pieces(object, startByte, endByte), { highWaterMark: 1 }), response, () => undefined); // who breaks off has no more need of it
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: (name) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`,
    get sent() {
      return sent;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
