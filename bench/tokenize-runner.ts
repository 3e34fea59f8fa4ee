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
import { openPreparedTokenizer, readyTokenizer } from '../src/tokenize/load-tokenizer.js';
import type { PreparedTokenizer } from '../src/tokenize/prepared.js';
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
  readonly workers?: WorkersAnswer;
}

/** Of all threads at once. */
export interface WorkersAnswer {
  readonly bytes: number;
  /** From the common start to the last one's end. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** What the process has grown by since before there were threads: isolates, code, what they remember, their batches. The tables and the texts were there. */
  readonly addedMiB: number;
  /** The part of it that they took of the kernel's memory: touched or not. */
  readonly kernelMiB: number;
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
function encodePart(contestant: Pick<Contestant, 'prepare'>, { bytes, bounds }: Documents, request: RunnerRequest): Phase {
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
      new Uint8Array(bytes.subarray(bounds[first], bounds[last])),
      Int32Array.from(bounds.subarray(first, last + 1), (bound) => bound - bounds[first]),
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
      throw new Error('workers are measured by themselves');
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

interface WorkerTask {
  readonly request: RunnerRequest;
  readonly prepared: PreparedTokenizer;
  readonly warm: Documents;
  readonly held: Documents;
}

/** As the sidecar does it: one thread prepares the tokenizer, the others share its tables. Each warms itself; then all encode `held` at once. */
async function answerOfWorkers(request: RunnerRequest): Promise<RunnerAnswer> {
  const { tokenizerFile: file } = request;
  const started = performance.now();
  const options = { specialTokens: 'plain' } as const;
  const { prepared } = await readyTokenizer({ bytes: readFileSync(file), file, options, forms: undefined });
  const loadSeconds = (performance.now() - started) / 1000;
  const task: WorkerTask = { request, prepared, warm: shared(readPart(request, 'warm')), held: shared(readPart(request, 'held')) };
  globalThis.gc?.(); // the file's text and the tables that were copied
  const kernelBytes = (): number => (prepared.path === 'kernel' ? prepared.tables.memory.buffer.byteLength : 0);
  const before = { resident: process.memoryUsage().rss, kernel: kernelBytes() };
  const workers = Array.from({ length: request.threads }, () => new Worker(new URL(import.meta.url), { workerData: task }));
  const next = (worker: Worker): Promise<number> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  await Promise.all(workers.map(next));
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const encoded = workers.map(async (worker) => {
    const bytes = next(worker);
    worker.postMessage('encode');
    return bytes;
  });
  const bytes = (await Promise.all(encoded)).reduce((sum, own) => sum + own, 0);
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const addedMiB = (process.memoryUsage().rss - before.resident) / 2 ** 20;
  const kernelMiB = (kernelBytes() - before.kernel) / 2 ** 20;
  await Promise.all(workers.map((worker) => worker.terminate()));
  const answered = { bytes, seconds, cpuSeconds: (user + system) / 1e6, addedMiB, kernelMiB };
  return { version: prepared.path, loadSeconds, workers: answered, residentMiB: residentMiB() };
}

/** Where all threads see it. */
function shared({ bytes, bounds }: Documents): Documents {
  const copy = {
    bytes: new Uint8Array(new SharedArrayBuffer(bytes.length)),
    bounds: new Int32Array(new SharedArrayBuffer(bounds.byteLength)),
  };
  copy.bytes.set(bytes);
  copy.bounds.set(bounds);
  return copy;
}

function work({ request, prepared, warm, held }: WorkerTask): void {
  const encoder = openPreparedTokenizer(prepared, request.tokenizerFile);
  const contestant: Pick<Contestant, 'prepare'> = { prepare: (bytes, bounds) => () => encoder.encodeBatch(bytes, bounds).ids.length };
  encodePart(contestant, warm, request);
  parentPort?.once('message', () => parentPort?.postMessage(encodePart(contestant, held, request).bytes));
  parentPort?.postMessage(0);
}

if (isMainThread) {
  const request = JSON.parse(process.argv[2]) as RunnerRequest;
  console.log(JSON.stringify(await (request.mode === 'workers' ? answerOfWorkers(request) : answer(request))));
} else work(workerData as WorkerTask);
