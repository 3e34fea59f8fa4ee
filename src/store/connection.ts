/**
 * One connection to an origin, for one GET of HTTP/1.1 after the other. A body that goes where its head says is written there by the kernel: no chunks are
 * made, copied and collected, which is two thirds of what Node's client takes for a large range.
 *
 *   send ─▶ head ─┬─ `into` names an array as long as the body ─▶ DirectBody: read(2) fills the array
 *                 └─ any other ─────────────────────────────────▶ Readable, of copies
 *           end of the body ─▶ free for the next GET, or closed
 */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { noHttp, parseHead, type AnswerHead } from './answer-head.js';
import { createChunkedBody, type ChunkedBody } from './chunked-body.js';
import { createDirectBody, type DirectBody, type OpenDirectBody } from './direct-body.js';
import { STORE_LIMITS } from './limits.js';

export interface DirectAnswer {
  readonly status: number;
  readonly headers: AnswerHead['headers'];
  /** A stream is to be read or destroyed by the caller. */
  readonly body: DirectBody | Readable;
}

/** A GET, and who waits for its answer. One of `onAnswer` and `onError` is called, once. */
export interface Exchange {
  /** The request as it is sent, in Latin-1. */
  readonly text: string;
  /** Where the body is to be written; undefined unless it is exactly so long. */
  into(head: AnswerHead): Uint8Array | undefined;
  onAnswer(answer: DirectAnswer): void;
  onError(error: Error): void;
}

export interface Connection {
  /** On a connection that has none under way. */
  send(exchange: Exchange): void;
  /** Ends what is under way with `error`. Nothing is written to its array afterwards. */
  destroy(error?: Error): void;
}

export interface ConnectionEvents {
  /** It may take the next GET. */
  readonly onFree: () => void;
  readonly onClosed: () => void;
}

/** What `net.connect` and `tls.connect` want to know of where bytes go. */
export interface OnRead {
  readonly buffer: () => Uint8Array;
  readonly callback: (bytesRead: number) => boolean;
}

export function openConnection(connect: (onread: OnRead) => Socket, { onFree, onClosed }: ConnectionEvents): Connection {
  /** For heads, and for bodies that are streams. */
  const buffer = Buffer.allocUnsafeSlow(STORE_LIMITS.headBytesMax);
  let target: Uint8Array = buffer;
  /** Of a head that has not come whole. */
  let headBytes = 0;
  let waiting: Exchange | undefined;
  let head: AnswerHead | undefined;
  let direct: OpenDirectBody | undefined;
  let stream: Readable | undefined;
  let chunked: ChunkedBody | undefined;
  /** Of a stream of known length. */
  let leftBytes = 0;
  let failure: Error | undefined;
  let isClosed = false;

  const isIdle = (): boolean => waiting === undefined && direct === undefined && stream === undefined;

  /** Who waits for something hears that it will not come. */
  const fail = (error: Error): void => {
    const [asking, filling, streaming] = [waiting, direct, stream];
    waiting = direct = stream = undefined;
    target = buffer;
    asking?.onError(error);
    filling?.fail(error);
    streaming?.destroy(error);
  };
  /** At once: no byte is read from here on. */
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    socket.destroy();
    onClosed();
  };
  const destroy = (error?: Error): void => {
    failure ??= error;
    close();
    fail(failure ?? hungUp());
  };

  /** `surplus`: bytes that belong to no answer, so that the next one could not be told from them. */
  const endBody = (surplus: boolean): void => {
    const isKept = head?.isKept === true && !surplus;
    const keepAliveMs = Math.min(STORE_LIMITS.keepAliveMs, (head?.keepAliveMs ?? Infinity) - STORE_LIMITS.keepAliveMarginMs);
    head = direct = stream = chunked = undefined;
    target = buffer;
    if (!isKept || keepAliveMs <= 0) {
      close();
      return;
    }
    socket.setTimeout(keepAliveMs);
    socket.unref();
    onFree();
  };

  const feedStream = (piece: Uint8Array): boolean => {
    if (stream === undefined || head === undefined) return true;
    const into = stream;
    const push = (data: Uint8Array): void => void into.push(Uint8Array.prototype.slice.call(data)); // the buffer is used again
    let used = piece.length;
    let isOver = false;
    if (chunked !== undefined) {
      used = chunked.feed(piece, push);
      isOver = chunked.isOver;
    } else if (head.framing.kind === 'length') {
      used = Math.min(piece.length, leftBytes);
      if (used > 0) push(piece.subarray(0, used));
      leftBytes -= used;
      isOver = leftBytes === 0;
    } else if (used > 0) push(piece);
    if (into.destroyed) return true; // by its reader, and the connection with it
    if (isOver) {
      into.push(null);
      endBody(used < piece.length);
      return true;
    }
    return into.readableLength < into.readableHighWaterMark; // else it says when it wants more
  };

  const openStream = ({ framing }: AnswerHead): Readable => {
    const readable = new Readable({
      read: () => {
        if (stream === readable) socket.resume();
      },
      destroy: (error, done) => {
        // what was not read to its end is in the way of the next answer
        if (stream === readable) {
          stream = undefined;
          close();
        }
        done(error);
      },
    });
    chunked = framing.kind === 'chunked' ? createChunkedBody() : undefined;
    leftBytes = framing.kind === 'length' ? framing.bytes : 0;
    return readable;
  };

  const beginBody = (exchange: Exchange, rest: Uint8Array): boolean => {
    if (head === undefined) return true;
    const { status, headers, framing } = head;
    const contentBytes = framing.kind === 'length' ? framing.bytes : 0;
    const into = contentBytes > 0 ? exchange.into(head) : undefined;
    waiting = undefined;
    if (into === undefined || into.length !== contentBytes) {
      const readable = (stream = openStream(head));
      exchange.onAnswer({ status, headers, body: readable });
      return feedStream(rest);
    }
    const body = (direct = createDirectBody(into, destroy));
    const first = rest.subarray(0, into.length);
    into.set(first);
    target = into;
    exchange.onAnswer({ status, headers, body });
    arrived(body, first.length, rest.length > first.length);
    return true;
  };
  const arrived = (body: OpenDirectBody, bytes: number, surplus = false): void => {
    body.arrived(bytes);
    if (body.received < body.bytes.length) {
      target = body.bytes.subarray(body.received);
      return;
    }
    endBody(surplus);
    body.end();
  };

  const readHead = (exchange: Exchange, bytesRead: number): boolean => {
    const from = Math.max(0, headBytes - END_OF_HEAD.length + 1); // it may lie in two pieces
    headBytes += bytesRead;
    const end = buffer.subarray(0, headBytes).indexOf(END_OF_HEAD, from, 'latin1');
    if (end < 0) {
      if (headBytes === buffer.length) throw noHttp('a head that is too long', buffer.toString('latin1', 0, 80));
      target = buffer.subarray(headBytes);
      return true;
    }
    const found = parseHead(buffer.toString('latin1', 0, end));
    if (found.status === 101) throw noHttp('an answer that nobody asked for', '101');
    const restStart = end + END_OF_HEAD.length;
    const restBytes = headBytes - restStart;
    headBytes = 0;
    target = buffer;
    if (found.status < 200) {
      // the answer is still to come
      buffer.copyWithin(0, restStart, restStart + restBytes);
      return restBytes === 0 || readHead(exchange, restBytes);
    }
    head = found;
    return beginBody(exchange, buffer.subarray(restStart, restStart + restBytes));
  };

  const socket = connect({
    buffer: () => target,
    callback: (bytesRead) => {
      try {
        if (direct !== undefined) arrived(direct, bytesRead);
        else if (stream !== undefined) return feedStream(buffer.subarray(0, bytesRead));
        else if (waiting !== undefined) return readHead(waiting, bytesRead);
        else close(); // nobody asked
      } catch (error) {
        destroy(error as Error);
      }
      return true;
    },
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  socket.on('error', (error) => (failure ??= error));
  socket.on('timeout', () => {
    if (isIdle()) close();
  });
  socket.on('end', () => {
    if (stream !== undefined && head?.framing.kind === 'close') {
      stream.push(null);
      endBody(false);
    } else if (isIdle()) close();
  });
  socket.on('close', () => {
    destroy();
  });

  return {
    send: (exchange) => {
      waiting = exchange;
      socket.setTimeout(0);
      socket.ref();
      socket.write(exchange.text, 'latin1');
    },
    destroy,
  };
}

const END_OF_HEAD = '\r\n\r\n';
/** As Node's agent asks for: probes of an idle connection that something between has forgotten. */
const KEEP_ALIVE_PROBE_MS = 1000;

/** As Node says it. */
function hungUp(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
}
