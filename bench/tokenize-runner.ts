/**
 * One measurement of one contestant that runs in Node, in a process of its own: the request is the argument, as JSON; the answer is one line of JSON.
 * tokenize_runner.py is the same for Python; tokenize.ts starts both, pinned to a core.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { parseTokenizer } from '../src/index.js';
import type { Part } from './tokenize-texts.js';

export const NODE_CONTESTANTS = ['headrace', '@huggingface/tokenizers', 'gpt-tokenizer'] as const;
export type NodeContestant = (typeof NODE_CONTESTANTS)[number];

export interface RunnerRequest {
  readonly contestant: string;
  readonly tokenizer: string;
  readonly tokenizerFile: string;
  /** Files of the text, without `-PART.bin` and `-PART.bounds`. */
  readonly text: string;
  /** `check`: the digest of the ids of every document of the sample. `workers`: threads at once, each with all of `held`. */
  readonly mode: 'check' | 'measure' | 'workers';
  /** `check`: the documents to compare, of every part this many. */
  readonly sampleDocuments: number;
  /** A phase ends when it has taken this long: slow contestants are measured on less text. */
  readonly phaseSecondsMax: number;
  readonly batchBytes: number;
  readonly threads: number;
  /** Where gpt-tokenizer is installed. */
  readonly packagesDir: string;
}

export interface Phase {
  readonly bytes: number;
  readonly tokens: number;
  readonly seconds: number;
  /** Of all threads of the process. */
  readonly cpuSeconds: number;
  /** Whether all of the part was encoded. */
  readonly whole: boolean;
}

export interface RunnerAnswer {
  /** Of the contestant; of headrace the path that encodes, where it says. */
  readonly version: string;
  readonly loadSeconds: number;
  readonly cold?: Phase;
  readonly held?: Phase;
  /** The most memory that the process ever had. */
  readonly residentMiB: number;
  readonly digests?: readonly string[];
  /** `workers`: bytes of all threads over the time from the common start to the last one's end. */
  readonly workers?: { readonly bytes: number; readonly seconds: number; readonly addedMiB: number };
}

/** Encodes one batch: what is done before the answer is a function is not timed (decoding UTF-8 for those who take strings). */
interface Contestant {
  readonly version: string;
  prepare(bytes: Uint8Array, bounds: Int32Array): () => number;
  /** Ids of one document, for the check. */
  ids(bytes: Uint8Array): ArrayLike<number>;
}

interface Documents {
  readonly bytes: Uint8Array;
  readonly bounds: Int32Array;
}

async function load(request: RunnerRequest): Promise<Contestant> {
  switch (request.contestant as NodeContestant) {
    case 'headrace': {
      const tokenizer = parseTokenizer(readFileSync(request.tokenizerFile), request.tokenizerFile);
      const path = 'path' in tokenizer && typeof tokenizer.path === 'string' ? tokenizer.path : 'unnamed path';
      return {
        version: path,
        prepare: (bytes, bounds) => () => tokenizer.encodeBatch(bytes, bounds).ids.length,
        ids: (bytes) => tokenizer.encodeBatch(bytes, Int32Array.of(0, bytes.length)).ids,
      };
    }
    case '@huggingface/tokenizers': {
      const { Tokenizer } = (await import('@huggingface/tokenizers')) as unknown as {
        Tokenizer: new (json: unknown, config: object) => { encode(text: string, options: object): { ids: number[] } };
      };
      const tokenizer = new Tokenizer(JSON.parse(readFileSync(request.tokenizerFile, 'utf8')), {});
      return overStrings(versionOf('@huggingface/tokenizers', import.meta.url), (text) =>
        text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids,
      );
    }
    case 'gpt-tokenizer': {
      const encoding = { gpt2: 'r50k_base', gpt35turbo: 'cl100k_base', gpt4o: 'o200k_base' }[request.tokenizer];
      if (encoding === undefined) throw new Error(`gpt-tokenizer has no encoding for ${request.tokenizer}`);
      const from = path.join(request.packagesDir, 'package.json');
      const dir = path.dirname(createRequire(from).resolve('gpt-tokenizer/package.json'));
      const { encode } = (await import(pathToFileURL(path.join(dir, 'esm', 'encoding', `${encoding}.js`)).href)) as {
        encode: (text: string) => number[];
      };
      return overStrings(versionOf('gpt-tokenizer', from), (text) => encode(text));
    }
  }
}

function overStrings(version: string, encode: (text: string) => ArrayLike<number>): Contestant {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    version,
    prepare: (bytes, bounds) => {
      const texts = Array.from({ length: bounds.length - 1 }, (_, i) => decoder.decode(bytes.subarray(bounds[i], bounds[i + 1])));
      return () => {
        let tokens = 0;
        for (const text of texts) tokens += encode(text).length;
        return tokens;
      };
    },
    ids: (bytes) => encode(decoder.decode(bytes)),
  };
}

function versionOf(name: string, from: string): string {
  // a package need not export its package.json
  const [dir] = createRequire(from)
    .resolve(name)
    .split(new RegExp(`(?<=node_modules/${name})/`));
  return (JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8')) as { version: string }).version;
}

function readPart(request: RunnerRequest, part: Part): Documents {
  const bytes = readFileSync(`${request.text}-${part}.bin`);
  const bounds = readFileSync(`${request.text}-${part}.bounds`);
  return { bytes, bounds: new Int32Array(bounds.buffer.slice(bounds.byteOffset, bounds.byteOffset + bounds.length)) };
}

/** Encodes a part in batches, as a loader does: whole documents, joined. Times the encoding only. */
function encodePart(contestant: Contestant, { bytes, bounds }: Documents, request: RunnerRequest): Phase {
  let tokens = 0;
  let milliseconds = 0;
  let cpuMicroseconds = 0;
  let first = 0;
  const documents = bounds.length - 1;
  while (first < documents && milliseconds < request.phaseSecondsMax * 1000) {
    let last = first + 1;
    while (last < documents && bounds[last + 1] - bounds[first] <= request.batchBytes) last++;
    // a copy, as every contestant gets one: what was just joined is in the processor's cache
    const batch = contestant.prepare(
      Uint8Array.prototype.slice.call(bytes, bounds[first], bounds[last]),
      bounds.slice(first, last + 1).map((bound) => bound - bounds[first]),
    );
    const cpu = process.cpuUsage();
    const started = performance.now();
    tokens += batch();
    milliseconds += performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    cpuMicroseconds += user + system;
    first = last;
  }
  return { bytes: bounds[first], tokens, seconds: milliseconds / 1000, cpuSeconds: cpuMicroseconds / 1e6, whole: first === documents };
}

/** The most resident memory so far; from /proc where it is, because rusage counts what the starter had before exec. */
function residentMiB(): number {
  const peak = existsSync('/proc/self/status') ? /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) : null;
  return (peak === null ? process.resourceUsage().maxRSS : Number(peak[1])) / 1024;
}

async function answer(request: RunnerRequest): Promise<RunnerAnswer> {
  const started = performance.now();
  const contestant = await load(request);
  const loadSeconds = (performance.now() - started) / 1000;
  const base = { version: contestant.version, loadSeconds };
  switch (request.mode) {
    case 'check':
      return {
        ...base,
        digests: (['cold', 'warm', 'held'] as const).flatMap((part) => digests(contestant, request, part)),
        residentMiB: residentMiB(),
      };
    case 'measure': {
      const cold = encodePart(contestant, readPart(request, 'cold'), request);
      encodePart(contestant, readPart(request, 'warm'), request);
      const held = encodePart(contestant, readPart(request, 'held'), request);
      return { ...base, cold, held, residentMiB: residentMiB() };
    }
    case 'workers':
      return { ...base, workers: await encodeInWorkers(request), residentMiB: residentMiB() };
  }
}

/** One SHA-256 a document: spread evenly over the part. */
function digests(contestant: Contestant, request: RunnerRequest, part: Part): string[] {
  const { bytes, bounds } = readPart(request, part);
  const documents = bounds.length - 1;
  const count = Math.min(request.sampleDocuments, documents);
  return Array.from({ length: count }, (_, i) => {
    const document = Math.floor((i * documents) / count);
    const ids = Int32Array.from(contestant.ids(bytes.subarray(bounds[document], bounds[document + 1])));
    return createHash('sha256').update(new Uint8Array(ids.buffer)).digest('hex').slice(0, 16);
  });
}

/** Every thread loads and warms its tokenizer; then all encode `held` at once. */
async function encodeInWorkers(request: RunnerRequest): Promise<NonNullable<RunnerAnswer['workers']>> {
  const before = process.memoryUsage().rss;
  const workers = Array.from({ length: request.threads }, () => new Worker(new URL(import.meta.url), { workerData: request }));
  const next = (worker: Worker): Promise<number> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  await Promise.all(workers.map(next));
  const addedMiB = (process.memoryUsage().rss - before) / 2 ** 20;
  const started = performance.now();
  const encoded = workers.map(async (worker) => {
    const bytes = next(worker);
    worker.postMessage('encode');
    return bytes;
  });
  const bytes = (await Promise.all(encoded)).reduce((sum, own) => sum + own, 0);
  const seconds = (performance.now() - started) / 1000;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { bytes, seconds, addedMiB };
}

async function work(request: RunnerRequest): Promise<void> {
  const contestant = await load(request);
  encodePart(contestant, readPart(request, 'warm'), request);
  const held = readPart(request, 'held');
  parentPort?.once('message', () => {
    parentPort?.postMessage(encodePart(contestant, held, request).bytes);
  });
  parentPort?.postMessage(0);
}

if (isMainThread) console.log(JSON.stringify(await answer(JSON.parse(process.argv[2]) as RunnerRequest)));
else await work(workerData as RunnerRequest);
