/** Collects the head of an answer, in whatever pieces it comes: what a connection reads into until the body begins. */
import { noHttp, parseHead, type AnswerHead } from './answer-head.js';

export interface HeadReader {
  /** Of `headBytesMax`; used again for each head, and for pieces of bodies. */
  readonly buffer: Uint8Array;
  /** Where the next piece of the head belongs. */
  readonly target: Uint8Array;
  /**
   * Takes as many bytes as were written to `target`. Answers the head once it is whole, and what came of the body, a view of `buffer`. Heads that only
   * announce another (1xx) are passed over. Errors: those of `parseHead`, also for a head that is longer than the buffer.
   */
  take(bytes: number): { readonly head: AnswerHead; readonly rest: Uint8Array } | undefined;
}

export function createHeadReader(bytesMax: number): HeadReader {
  const buffer = Buffer.allocUnsafeSlow(bytesMax);
  let bytes = 0;

  const take: HeadReader['take'] = (bytesRead) => {
    const from = Math.max(0, bytes - END_OF_HEAD.length + 1); // the end may lie in two pieces
    bytes += bytesRead;
    const end = buffer.subarray(0, bytes).indexOf(END_OF_HEAD, from, 'latin1');
    if (end < 0) {
      if (bytes === buffer.length) throw noHttp('a head that is too long', buffer.toString('latin1', 0, 80));
      return undefined;
    }
    const head = parseHead(buffer.toString('latin1', 0, end));
    if (head.status === 101) throw noHttp('an answer that nobody asked for', '101');
    const rest = buffer.subarray(end + END_OF_HEAD.length, bytes);
    bytes = 0;
    if (head.status >= 200) return { head, rest };
    // the answer is still to come
    buffer.set(rest);
    return rest.length === 0 ? undefined : take(rest.length);
  };

  return {
    buffer,
    get target() {
      return bytes === 0 ? buffer : buffer.subarray(bytes);
    },
    take,
  };
}

const END_OF_HEAD = '\r\n\r\n';
