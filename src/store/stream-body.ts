/** A body on its way into a stream, of copies, where nobody has an array as long as it: errors of servers, what is chunked, what ends with its connection. */
import { Readable } from 'node:stream';
import type { Framing } from './answer-head.js';
import { createChunkedBody } from './chunked-body.js';

/** As its connection has it. */
export interface OpenStreamBody {
  readonly readable: Readable;
  /** Whether it wants more at once; else it asks for it. */
  readonly wantsMore: boolean;
  /** Takes what is its own of `piece`, which may be used again. Answers how many bytes that are, and whether it has all then. Errors: those of chunks. */
  feed(piece: Uint8Array): { readonly usedBytes: number; readonly isOver: boolean };
  end(): void;
  fail(error: Error): void;
}

export interface StreamBodyEvents {
  /** The reader wants more. */
  readonly onWanted: () => void;
  /** The reader has left, or has it all. */
  readonly onDestroyed: () => void;
}

export function createStreamBody(framing: Framing, { onWanted, onDestroyed }: StreamBodyEvents): OpenStreamBody {
  const readable = new Readable({
    read: onWanted,
    destroy: (error, done) => {
      onDestroyed();
      done(error);
    },
  });
  // it may break before its reader has come, who then hears of it; without a listener, it would end the process
  readable.on('error', () => undefined);
  const push = (data: Uint8Array): void => {
    if (data.length > 0) readable.push(Uint8Array.prototype.slice.call(data));
  };
  const chunked = framing.kind === 'chunked' ? createChunkedBody() : undefined;
  let leftBytes = framing.kind === 'length' ? framing.bytes : Infinity;
  return {
    readable,
    get wantsMore() {
      return readable.readableLength < readable.readableHighWaterMark;
    },
    feed: (piece) => {
      if (chunked !== undefined) return { usedBytes: chunked.feed(piece, push), isOver: chunked.isOver };
      const usedBytes = Math.min(piece.length, leftBytes);
      push(piece.subarray(0, usedBytes));
      leftBytes -= usedBytes;
      return { usedBytes, isOver: leftBytes === 0 };
    },
    end: () => void readable.push(null),
    fail: (error) => void readable.destroy(error),
  };
}
