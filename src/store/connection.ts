/**
 * One connection to an origin, for one GET of HTTP/1.1 after the other. A body that goes where its head says is written there by the kernel: no chunks are
 * made, copied and collected, which is two thirds of what Node's client takes for a large range.
 *
 *   send ─▶ head ─┬─ `into` names an array as long as the body ─▶ DirectBody: read(2) fills the array
 *                 └─ any other ─────────────────────────────────▶ Readable, of copies
 *           end of the body ─▶ free for the next GET, or closed
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { AnswerHead } from './answer-head.js';
import { createDirectBody, type DirectBody, type OpenDirectBody } from './direct-body.js';
import { createHeadReader } from './head-reader.js';
import { STORE_LIMITS } from './limits.js';
import { createStreamBody, type OpenStreamBody } from './stream-body.js';

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
  const heads = createHeadReader(STORE_LIMITS.headBytesMax);
  let state: State = IDLE;
  let failure: Error | undefined;
  let isClosed = false;

  /** At once: no byte is read from here on. */
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    socket.destroy();
    onClosed();
  };
  /** Who waits for something hears that it will not come. */
  const destroy = (error?: Error): void => {
    failure ??= error;
    close();
    const broken = state;
    state = IDLE;
    if (broken.kind === 'asked') broken.exchange.onError(failure ?? hungUp());
    else if (broken.kind !== 'idle') broken.body.fail(failure ?? hungUp());
  };

  /** `surplus`: bytes that belong to no answer came with it, so that the next one could not be told from them. */
  const endBody = ({ isKept, keepAliveMs = Infinity }: AnswerHead, body: OpenDirectBody | OpenStreamBody, surplus: boolean): void => {
    state = IDLE;
    const idleMs = Math.min(STORE_LIMITS.keepAliveMs, keepAliveMs - STORE_LIMITS.keepAliveMarginMs);
    if (surplus || !isKept || idleMs <= 0) {
      close();
      body.end();
      return;
    }
    // a surplus that has come is read before this, and closes the connection: nobody asked
    setImmediate(() => {
      if (!isClosed) {
        socket.setTimeout(idleMs);
        socket.unref();
        onFree();
      }
      body.end();
    });
  };

  const beginBody = (exchange: Exchange, head: AnswerHead, rest: Uint8Array): boolean => {
    const { status, headers, framing } = head;
    const contentBytes = framing.kind === 'length' ? framing.bytes : 0;
    const into = contentBytes > 0 ? exchange.into(head) : undefined;
    if (into?.length === contentBytes) {
      const body = createDirectBody(into, destroy);
      state = { kind: 'direct', head, body };
      const first = rest.subarray(0, into.length);
      into.set(first);
      exchange.onAnswer({ status, headers, body });
      return fillDirect(state, first.length, rest.length > first.length);
    }
    const body = createStreamBody(framing, {
      onWanted: () => {
        if (isOf(body)) socket.resume();
      },
      onDestroyed: () => {
        // what was not read to its end is in the way of the next answer
        if (!isOf(body)) return;
        state = IDLE;
        close();
      },
    });
    state = { kind: 'stream', head, body };
    exchange.onAnswer({ status, headers, body: body.readable });
    return feedStream(state, rest);
  };
  const isOf = (body: OpenStreamBody): boolean => state.kind === 'stream' && state.body === body;

  const fillDirect = ({ head, body }: DirectState, bytes: number, surplus = false): boolean => {
    body.arrived(bytes);
    if (body.received === body.bytes.length) endBody(head, body, surplus);
    return true;
  };
  const feedStream = ({ head, body }: StreamState, piece: Uint8Array): boolean => {
    const { usedBytes, isOver } = body.feed(piece);
    if (!isOf(body)) return true; // its reader has left, and the connection is closed
    if (isOver) endBody(head, body, usedBytes < piece.length);
    return isOver || body.wantsMore;
  };
  const readHead = ({ exchange }: AskedState, bytesRead: number): boolean => {
    const found = heads.take(bytesRead);
    return found === undefined || beginBody(exchange, found.head, found.rest);
  };

  const socket = connect({
    buffer: () => {
      if (state.kind === 'direct') return state.body.bytes.subarray(state.body.received);
      return state.kind === 'asked' ? heads.target : heads.buffer;
    },
    callback: (bytesRead) => {
      try {
        if (state.kind === 'direct') return fillDirect(state, bytesRead);
        if (state.kind === 'stream') return feedStream(state, heads.buffer.subarray(0, bytesRead));
        if (state.kind === 'asked') return readHead(state, bytesRead);
        close(); // nobody asked
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
    if (state.kind === 'idle') close();
  });
  socket.on('end', () => {
    if (state.kind === 'stream' && state.head.framing.kind === 'close') endBody(state.head, state.body, false);
    else if (state.kind === 'idle') close();
  });
  socket.on('close', () => destroy());

  return {
    send: (exchange) => {
      state = { kind: 'asked', exchange };
      socket.setTimeout(0);
      socket.ref();
      socket.write(exchange.text, 'latin1');
    },
    destroy,
  };
}

/** What the bytes that come now are of. */
type State = { readonly kind: 'idle' } | AskedState | DirectState | StreamState;

interface AskedState {
  readonly kind: 'asked';
  readonly exchange: Exchange;
}

interface DirectState {
  readonly kind: 'direct';
  readonly head: AnswerHead;
  readonly body: OpenDirectBody;
}

interface StreamState {
  readonly kind: 'stream';
  readonly head: AnswerHead;
  readonly body: OpenStreamBody;
}

const IDLE: State = { kind: 'idle' };
/** As Node's agent asks for: probes of an idle connection that something between has forgotten. */
const KEEP_ALIVE_PROBE_MS = 1000;

/** As Node says it. */
function hungUp(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
}
