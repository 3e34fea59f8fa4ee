/**
 * Takes the chunks of a body apart, in whatever pieces they come: pure. Source: RFC 9112 §7.1.
 *
 *   size in hexadecimal [; extensions] CRLF │ data │ CRLF │ … │ 0 CRLF │ trailer fields, which are left out │ CRLF
 */
import { noHttp } from './answer-head.js';

/** A line of a size with extensions, or all trailer fields: as much as the fields of a head may be. */
const LINE_BYTES_MAX = 16 * 2 ** 10;
const LF = 10;
const CR = 13;

export interface ChunkedBody {
  /** Hands on the data in `piece`, as views of it. Answers how many bytes of the piece belonged to the body. Errors: as those of `parseHead`. */
  feed(piece: Uint8Array, onData: (data: Uint8Array) => void): number;
  /** Whether all of it has come. */
  readonly isOver: boolean;
}

export function createChunkedBody(): ChunkedBody {
  let state: 'size' | 'data' | 'end of data' | 'trailer' | 'over' = 'size';
  let line = '';
  let left = 0;
  let lineBytes = 0;

  /** A whole line, without its CRLF. */
  const endLine = (): void => {
    const text = line.slice(0, -1);
    if (!line.endsWith('\r')) throw noHttp('a line of a chunk', line);
    line = '';
    if (state === 'size') {
      const digits = /^([0-9a-fA-F]{1,12})[\t ]*(?:;.*)?$/.exec(text)?.[1];
      if (digits === undefined) throw noHttp('the size of a chunk', text);
      left = parseInt(digits, 16);
      state = left === 0 ? 'trailer' : 'data';
      if (left > 0) lineBytes = 0;
    } else if (text === '') state = 'over';
  };

  return {
    get isOver() {
      return state === 'over';
    },
    feed: (piece, onData) => {
      let at = 0;
      while (at < piece.length && state !== 'over') {
        if (state === 'data') {
          const end = Math.min(piece.length, at + left);
          onData(piece.subarray(at, end));
          left -= end - at;
          at = end;
          if (left === 0) {
            state = 'end of data';
            left = 2;
          }
        } else if (state === 'end of data') {
          if (piece[at++] !== (left === 2 ? CR : LF)) throw noHttp('the end of a chunk', String(piece[at - 1]));
          if (--left === 0) state = 'size';
        } else {
          const byte = piece[at++];
          if (++lineBytes > LINE_BYTES_MAX) throw noHttp('a line that is too long', line);
          if (byte === LF) endLine();
          else line += String.fromCharCode(byte);
        }
      }
      return at;
    },
  };
}
