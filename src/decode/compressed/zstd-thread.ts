/** The thread that decompresses zstd: one a process, for all of its streams. It does no I/O. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../core/errors.js';
import { ZstdDecoder } from './zstd-decoder.js';
import { ZstdUnsupported } from './zstd-header.js';

export type ZstdRequest =
  | { readonly type: 'next'; readonly stream: number; readonly stored: Uint8Array | undefined; readonly isLast: boolean }
  | { readonly type: 'close'; readonly stream: number };

/** To `next`. `content` of length 0: more stored bytes are needed, or, after the last, there is no more. */
export type ZstdReply =
  | { readonly stream: number; readonly content: Uint8Array<ArrayBuffer> }
  | { readonly stream: number; readonly problem: string; readonly isUnsupported: boolean };

function serve(): void {
  const port = parentPort;
  if (port === null) throw new Error('zstd-thread.js runs in a worker thread only');
  const decoders = new Map<number, ZstdDecoder>();
  port.on('message', (request: ZstdRequest) => {
    const { stream } = request;
    if (request.type === 'close') {
      decoders.get(stream)?.close();
      decoders.delete(stream);
      return;
    }
    try {
      let decoder = decoders.get(stream);
      if (decoder === undefined) decoders.set(stream, (decoder = new ZstdDecoder()));
      if (request.stored !== undefined) decoder.push(request.stored);
      const content = decoder.next() ?? new Uint8Array(0);
      if (content.length === 0 && request.isLast) decoder.finish();
      port.postMessage({ stream, content } satisfies ZstdReply, [content.buffer]);
    } catch (error) {
      port.postMessage({ stream, problem: messageOf(error), isUnsupported: error instanceof ZstdUnsupported } satisfies ZstdReply);
    }
  });
}

serve();
