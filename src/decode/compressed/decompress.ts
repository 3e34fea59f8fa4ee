/** Decompressing streams, off this thread's JavaScript: stored bytes are pulled when content is, so that a stream holds some MiB. */
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Worker } from 'node:worker_threads';
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { ContentCodec } from './codec.js';
import { CONTENT_LIMITS } from './limits.js';
import { hasNativeZstd, unzstdNatively } from './native-zstd.js';
import { ZstdUnsupported } from './zstd-header.js';
import type { ZstdReply, ZstdRequest } from './zstd-thread.js';

/** Consecutive stored bytes; `undefined` after the last. */
export type PullStored = () => Promise<Uint8Array | undefined>;

/** These bytes are damaged, or are not read here. */
export class ContentError extends Error {
  override readonly name = 'ContentError';
  readonly isUnsupported: boolean;

  constructor(message: string, isUnsupported = false, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.isUnsupported = isUnsupported;
  }
}

/** Consecutive pieces of content. Ends only where the stored bytes are whole. Throws `ContentError`, and what `pull` throws. */
export function decompress(codec: Exclude<ContentCodec, 'plain'>, pull: PullStored): AsyncGenerator<Uint8Array, void, undefined> {
  let storedBytes = 0;
  const counted: PullStored = async () => {
    const bytes = await pull();
    storedBytes += bytes?.length ?? 0;
    return bytes;
  };
  const content = codec === 'gzip' ? gunzip(counted) : hasNativeZstd ? unzstd(counted) : unzstdInThread(counted);
  return withRatio(content, () => storedBytes);
}

async function* withRatio(content: AsyncIterable<Uint8Array>, storedBytes: () => number): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const piece of content) {
    bytes += piece.length;
    if (bytes > CONTENT_LIMITS.ratioFreeBytes + CONTENT_LIMITS.ratioMax * storedBytes()) {
      throw new ContentError(`${storedBytes()} stored bytes have more than ${CONTENT_LIMITS.ratioMax} times as much content`, true);
    }
    yield piece;
  }
}

/** All members, one after the other, in the threads of libuv; zeros after the last are padding. */
async function* gunzip(pull: PullStored): AsyncGenerator<Uint8Array, void, undefined> {
  const first = await pull();
  if (first === undefined) return; // no member: no content
  const inflating = createGunzip({ chunkSize: CONTENT_LIMITS.pieceBytes });
  /** What the members have not used yet, and where it begins in the stream. */
  let unused: Uint8Array[] = [];
  let unusedStart = 0;
  const dropUsed = (): void => {
    while (unused.length > 0 && unusedStart + unused[0].length <= inflating.bytesWritten) unusedStart += unused.shift()?.length ?? 0;
  };
  const stored = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for (let bytes: Uint8Array | undefined = first; bytes !== undefined; bytes = await pull()) {
      dropUsed();
      unused.push(bytes);
      yield bytes;
    }
  };
  pipeline(stored, inflating, () => undefined); // who reads the last stream hears of it
  try {
    for await (const piece of inflating) yield piece as Uint8Array;
  } catch (error) {
    if (error instanceof HeadraceError) throw error;
    throw new ContentError(`its gzip stream is damaged: ${messageOf(error)}`, false, error);
  }
  dropUsed();
  unused = unused.map((bytes, i) => (i === 0 ? bytes.subarray(inflating.bytesWritten - unusedStart) : bytes));
  for (let rest = unused.shift() ?? (await pull()); rest !== undefined; rest = unused.shift() ?? (await pull())) {
    if (rest.some((byte) => byte !== 0)) throw new ContentError('something other than a gzip member follows the last member');
  }
}

async function* unzstd(pull: PullStored): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* unzstdNatively(pull);
  } catch (error) {
    if (error instanceof HeadraceError || error instanceof ContentError) throw error;
    throw zstdError(messageOf(error), error instanceof ZstdUnsupported, error);
  }
}

function zstdError(problem: string, isUnsupported: boolean, cause?: unknown): ContentError {
  return new ContentError(`its zstd stream ${isUnsupported ? 'is not read' : 'is damaged'}: ${problem}`, isUnsupported, cause);
}

let streams = 0;

/** Where Node has no zstd: in JavaScript, in a thread of its own, which all streams share. */
async function* unzstdInThread(pull: PullStored): AsyncGenerator<Uint8Array, void, undefined> {
  const thread = zstdThread();
  const stream = streams++;
  try {
    let stored = await pull();
    let isLast = stored === undefined;
    for (;;) {
      const reply = await thread.ask({ type: 'next', stream, stored, isLast });
      if ('problem' in reply) throw zstdError(reply.problem, reply.isUnsupported);
      stored = undefined;
      if (reply.content.length > 0) {
        yield reply.content;
        continue;
      }
      if (isLast) return;
      stored = await pull();
      isLast = stored === undefined;
    }
  } finally {
    thread.close(stream);
  }
}

interface ZstdThread {
  readonly ask: (request: Extract<ZstdRequest, { type: 'next' }>) => Promise<ZstdReply>;
  readonly close: (stream: number) => void;
}

let running: ZstdThread | undefined;

/** Started by the first stream. It keeps the process alive only while an answer is awaited. */
function zstdThread(): ZstdThread {
  if (running !== undefined) return running;
  const worker = new Worker(new URL('./zstd-thread.js', import.meta.url));
  const waiting = new Map<number, { readonly resolve: (reply: ZstdReply) => void; readonly reject: (reason: unknown) => void }>();
  const lose = (reason: unknown): void => {
    running = undefined;
    const error = new HeadraceError('WORKER_FAILED', `the thread that decompresses zstd ended: ${messageOf(reason)}`, { cause: reason });
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('error', lose);
  worker.on('exit', (code) => lose(new Error(`exit code ${code}`)));
  worker.on('message', (reply: ZstdReply) => {
    waiting.get(reply.stream)?.resolve(reply);
    waiting.delete(reply.stream);
    if (waiting.size === 0) worker.unref();
  });
  worker.unref();
  running = {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting.set(request.stream, { resolve, reject });
        worker.ref();
        worker.postMessage(request);
      }),
    close: (stream) => worker.postMessage({ type: 'close', stream } satisfies ZstdRequest),
  };
  return running;
}
