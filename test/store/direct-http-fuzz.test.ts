/**
 * Answers that are right, and answers that are damaged, in random pieces over TCP: what the client makes of them is what a strict reading of all that was
 * sent makes of it, in time. Seeded: HEADRACE_FUZZ_SEED is the first case, HEADRACE_FUZZ_CASES how many there are.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDirectHttp, type DirectHttp } from '../../src/store/direct-http.js';
import { randomOf, type Random } from '../fuzz/mutate.js';

const SEED = Number(process.env.HEADRACE_FUZZ_SEED ?? 1);
/** About five seconds. */
const CASES = Number(process.env.HEADRACE_FUZZ_CASES ?? 1500);
/** Nothing here waits for anything but the loopback interface: an answer that takes so long does not come. */
const ANSWER_MS_MAX = 5_000;

/** What a strict reader of the whole connection makes of an answer. */
type Reading =
  | { readonly kind: 'whole'; readonly body: Buffer; readonly after: 'nothing' | 'surplus' | 'end' }
  | { readonly kind: 'cut' }
  | { readonly kind: 'invalid' };

const PLAIN_BODY = 'the right one';

const INVALID: Reading = { kind: 'invalid' };
const CUT: Reading = { kind: 'cut' };
const FIELD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?[ \t]*$/;

/** RFC 9112, all at once: `text` is everything that the server sends before it closes the connection. */
function readStrictly(text: string): Reading {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return CUT;
  const [statusLine, ...fields] = text.slice(0, end).split('\r\n');
  const rest = text.slice(end + 4);
  const status = Number(/^HTTP\/1\.[01] ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine)?.[1]);
  if (Number.isNaN(status) || !fields.every((field) => FIELD.test(field)) || status === 101) return INVALID;
  const valuesOf = (name: string): string[] =>
    fields
      .filter((field) => field.toLowerCase().startsWith(`${name}:`))
      .map((field) => field.slice(name.length + 1).replace(/^[ \t]+|[ \t]+$/g, ''));
  const lengths = new Set(valuesOf('content-length'));
  const codings = valuesOf('transfer-encoding');
  if (lengths.size > 1) return INVALID;
  if (status < 200) return readStrictly(rest);
  if (status === 204 || status === 304) return whole('', rest !== '');
  if (codings.length > 0) return lengths.size > 0 || codings.join(',').toLowerCase() !== 'chunked' ? INVALID : readChunks(rest);
  const length = [...lengths].at(0);
  if (length === undefined) return { kind: 'whole', body: Buffer.from(rest, 'latin1'), after: 'end' };
  if (!/^\d{1,15}$/.test(length)) return INVALID;
  return rest.length < Number(length) ? CUT : whole(rest.slice(0, Number(length)), rest.length > Number(length));
}

function readChunks(text: string): Reading {
  let [at, body] = [0, ''];
  for (;;) {
    const end = text.indexOf('\n', at);
    if (end < 0) return CUT;
    const digits = /^([0-9a-f]{1,12})[\t ]*(?:;[^\n]*)?\r$/is.exec(text.slice(at, end))?.[1];
    if (digits === undefined) return INVALID;
    const size = parseInt(digits, 16);
    at = end + 1;
    if (size === 0) break;
    const after = text.slice(at + size, at + size + 2);
    if (!'\r\n'.startsWith(after)) return INVALID;
    if (after.length < 2) return CUT;
    body += text.slice(at, at + size);
    at += size + 2;
  }
  for (;;) {
    const end = text.indexOf('\n', at);
    if (end < 0) return CUT;
    const line = text.slice(at, end);
    at = end + 1;
    if (!line.endsWith('\r')) return INVALID;
    if (line === '\r') return whole(body, at < text.length);
  }
}

function whole(body: string, surplus: boolean): Reading {
  return { kind: 'whole', body: Buffer.from(body, 'latin1'), after: surplus ? 'surplus' : 'nothing' };
}

function randomBytes(random: Random, length: number): string {
  return String.fromCharCode(...Array.from({ length }, () => random(256)));
}

/** In Latin-1. */
function answerOf(random: Random): string {
  const one = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  // now and then more than what is read at a time
  const body = randomBytes(random, one(0, 1, 7, random(300), random(300), 20_000));
  const early = one('', '', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 \r\n\r\n');
  const fields = [
    'etag: "e"',
    'Server:x',
    'date:\tnow ',
    one('Connection: keep-alive', 'connection: close', 'keep-alive: timeout=5'),
    'x-e:',
  ];
  const framing = one('length', 'length', 'chunked', 'close');
  if (framing === 'length') fields.splice(random(fields.length), 0, `${one('Content-Length', 'content-length')}: ${body.length}`);
  if (framing === 'chunked') fields.splice(random(fields.length), 0, `Transfer-Encoding: ${one('chunked', 'Chunked')}`);
  return `${early}HTTP/1.1 ${one('200 OK', '206 Partial Content', '404')}\r\n${fields.join('\r\n')}\r\n\r\n${framing === 'chunked' ? chunksOf(body, random) : body}`;
}

function chunksOf(body: string, random: Random): string {
  let text = '';
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + random(random(2) === 0 ? 20 : 9000));
    text += `${size.toString(16)}${random(4) === 0 ? ';a="b"' : ''}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${random(3) === 0 ? 'trailer: x\r\n' : ''}\r\n`;
}

/** Half of the places are in the head, or where its body begins. */
function damaged(text: string, random: Random): string {
  const headEnd = text.lastIndexOf('\r\n\r\n', 600) + 20;
  const place = (): number => random(Math.max(1, random(2) === 0 ? Math.min(headEnd, text.length) : text.length));
  const [from, to] = [place(), place()].sort((a, b) => a - b);
  const inserted = ['\r', '\n', '\r\n', ' ', '\t', ':', '0', '9', 'f', ';', ',', '\0', '\xa0', '\x0b', '\r\n\r\n', 'content-length: 3\r\n'];
  switch (random(8)) {
    case 0:
      return text.slice(0, from) + String.fromCharCode(text.charCodeAt(from) ^ (1 << random(8))) + text.slice(from + 1);
    case 1:
      return text.slice(0, from) + text.slice(to);
    case 2:
      return text.slice(0, to) + text.slice(from);
    case 3:
      return text.slice(0, from);
    case 4:
      return text.slice(0, from) + answerOf(random).slice(random(200));
    case 5:
      return text.slice(0, from) + inserted[random(inserted.length)] + text.slice(from);
    case 6:
      return text.replace(/(length: )(\d+)/i, (_, name: string, digits: string) => name + (Number(digits) + random(7) - 3).toString());
    default:
      return text + answerOf(random);
  }
}

describe('GETs of answers in random pieces', () => {
  let server: Server;
  let http: DirectHttp;
  let url: URL;
  const open = new Set<Socket>();
  /** What the next request is answered with; those after it with the plain one. */
  let next: { readonly pieces: readonly string[]; readonly ends: boolean } | undefined;
  const plain = `HTTP/1.1 200 OK\r\ncontent-length: ${PLAIN_BODY.length}\r\n\r\n${PLAIN_BODY}`;

  beforeEach(async () => {
    const answer = async (socket: Socket): Promise<void> => {
      const { pieces, ends } = next ?? { pieces: [plain], ends: false };
      next = undefined;
      for (const piece of pieces) {
        socket.write(piece, 'latin1');
        if (pieces.length > 1) await setImmediate();
      }
      if (ends) socket.end();
    };
    server = createServer({ noDelay: true }, (socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket)).on('error', () => undefined);
      socket.on('data', () => void answer(socket)); // a request comes in one piece
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    http = createDirectHttp();
  });
  afterEach(async () => {
    http.close();
    server.close();
    // no connection is left, whatever came over it
    const deadline = performance.now() + ANSWER_MS_MAX;
    while (open.size > 0 && performance.now() < deadline) await setImmediate();
    expect(open.size).toBe(0);
  });

  /** `intoBytes`: how long the array is that the body is wanted in; undefined: a stream is. */
  const get = async (intoBytes: number | undefined): Promise<Buffer> => {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const answer = await http.get(
      { url, path: '/', headers: { host: url.host } },
      () => (intoBytes === undefined ? undefined : new Uint8Array(intoBytes)),
      signal,
    );
    const { body } = answer;
    const timer = setTimeout(() => body.destroy(new Error('no end')), ANSWER_MS_MAX);
    try {
      if (!('received' in body)) return await buffer(body);
      await body.done;
      return Buffer.from(body.bytes);
    } finally {
      clearTimeout(timer);
    }
  };
  /** As stores do: the server may close a kept connection in the moment in which it is used again. */
  const getAgain = async (intoBytes: number | undefined): Promise<Buffer> => {
    try {
      return await get(intoBytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
      return get(intoBytes);
    }
  };
  /** All in one piece, or in some. */
  const cut = (text: string, random: Random): string[] => {
    const places = Array.from({ length: random(2) === 0 ? 0 : 1 + random(5) }, () => random(text.length)).sort((a, b) => a - b);
    return [0, ...places].map((place, i) => text.slice(place, places[i])).filter((piece) => piece !== '');
  };
  const lengthOf = (reading: Reading, random: Random): number | undefined =>
    reading.kind === 'whole' && random(3) > 0 ? reading.body.length + (random(8) === 0 ? 1 : 0) : random(2) === 0 ? undefined : random(400);

  it('have the bytes that were sent, whole, and nothing of what was sent beside them', async () => {
    for (let seed = SEED; seed < SEED + CASES; seed++) {
      const random = randomOf(seed);
      const valid = answerOf(random);
      const text = random(4) === 0 ? valid : damaged(valid, random);
      const reading = readStrictly(text);
      // what comes after the end in a later piece may be taken for the next answer, by any client
      const after = reading.kind === 'whole' ? reading.after : 'end';
      next = { pieces: after === 'surplus' ? [text] : cut(text, random), ends: after === 'end' || random(2) === 0 };
      const got = await get(lengthOf(reading, random)).catch((error: unknown) => error as NodeJS.ErrnoException);
      const what = `seed ${seed}: ${JSON.stringify(text.slice(0, 400))}`;
      if (reading.kind === 'whole')
        expect(got instanceof Error ? got.message : got.toString('latin1'), what).toBe(reading.body.toString('latin1'));
      else expect(got instanceof Error ? got.code : got.toString('latin1'), what).toMatch(/^(HPE_INVALID|ECONNRESET)$/);
      next = undefined;
      expect((await getAgain(random(2) === 0 ? PLAIN_BODY.length : undefined)).toString(), what).toBe(PLAIN_BODY);
    }
  }, 120_000);
});
