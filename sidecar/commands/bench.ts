/** `headrace bench --tokenizer FILE --text PATH`: how fast this machine tokenizes one's own text with one's own tokenizer, in one thread. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openCompiledForms } from '../../src/cache/compiled-forms.js';
import { absoluteUri, parseStorage } from '../../src/config/config.js';
import { LIMITS } from '../../src/config/limits.js';
import { HeadraceError } from '../../src/core/errors.js';
import { formatSize } from '../../src/core/quantity.js';
import { createStoreSet, type OpenedStore } from '../../src/store/open-store.js';
import { readWhole } from '../../src/store/read-whole.js';
import type { ObjectInfo, Store } from '../../src/store/store.js';
import { parseTokenizer, parseTokenizerWith } from '../../src/tokenize/load-tokenizer.js';
import type { Tokenizer } from '../../src/tokenize/tokenizer.js';

export interface BenchOptions {
  /** Path or URI of a tokenizer.json. */
  readonly tokenizer: string;
  /** Path or URI of a text file, or of a directory of them. */
  readonly text: string;
  /** No more of the text than this is read. */
  readonly textBytesMax: number;
}

/** A document ends at the first end of a line after this many bytes: about the size of a web page. */
const DOCUMENT_BYTES = 4 * 1024;
/** Where the line is longer than this, a document ends at the last space before, else at a character. */
const DOCUMENT_BYTES_MAX = 16 * 1024;
/** A tokenizer without a fast path must not keep anybody waiting: what it did by then is enough to tell. */
const PHASE_MS_MAX = 10_000;
/** Less text than this takes a few milliseconds, in which neither a cache nor a compiler settles. */
const TELLING_BYTES = 4e6;

interface Documents {
  readonly bytes: Uint8Array;
  /** [documents + 1] */
  readonly bounds: Int32Array;
}

interface Phase {
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  readonly milliseconds: number;
  readonly whole: boolean;
}

/** Returns the exit status. Errors: `CONFIG_INVALID`, `TOKENIZER_INVALID`, `STORE_…`. */
export async function bench(options: BenchOptions): Promise<number> {
  const stores = createStoreSet(parseStorage());
  try {
    const tokenizerFile = stores.open(absoluteUri(options.tokenizer));
    const tokenizerBytes = await readWhole(tokenizerFile.store, tokenizerFile.path);
    const text = await readText(stores.open(absoluteUri(options.text)), options);
    const { documents } = text;

    const started = performance.now();
    const tokenizer = parseTokenizer(tokenizerBytes, options.tokenizer);
    const loadMs = performance.now() - started;
    const formMs = await loadMsFromForm(tokenizerBytes, options.tokenizer);
    // every other document: both halves are of one kind, and none of the text is encoded twice
    const cold = encode(tokenizer, everyOther(documents, 0));
    const warm = encode(tokenizer, everyOther(documents, 1));
    const lines = [
      `tokenizer  ${options.tokenizer} · ${tokenizer.vocabSize} tokens · ${tokenizer.path} · loaded in ${loadMs.toFixed(0)} ms${formMs === undefined ? '' : ` (${formMs.toFixed(0)} ms from its compiled form)`}`,
      `text       ${options.text} · ${text.files} ${text.files === 1 ? 'file' : 'files'} · ${(documents.bytes.length / 1e6).toFixed(2)} MB${text.cut ? ' (the first of it)' : ''} · ${documents.bounds.length - 1} documents`,
      phaseLine('cold', cold),
      phaseLine('warm', warm),
      ...(documents.bytes.length < TELLING_BYTES ? ['The text is short: with 4 MB or more the figures settle.'] : []),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } finally {
    await stores.close();
  }
}

/** How long it takes where the cache directory has the compiled form; `undefined` where there is none of it. */
async function loadMsFromForm(bytes: Uint8Array, file: string): Promise<number | undefined> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  try {
    const load = async (): Promise<{ readonly milliseconds: number; readonly path: Tokenizer['path'] }> => {
      const forms = openCompiledForms(dir, undefined);
      const started = performance.now();
      const tokenizer = await parseTokenizerWith(forms, bytes, file);
      const milliseconds = performance.now() - started;
      await forms.close();
      return { milliseconds, path: tokenizer.path };
    };
    if ((await load()).path !== 'kernel') return undefined;
    return (await load()).milliseconds;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The files one after the other, each of them whole, as far as the limit goes; they are checked to be UTF-8. */
async function readText(
  place: OpenedStore,
  { text, textBytesMax }: BenchOptions,
): Promise<{ readonly documents: Documents; readonly files: number; readonly cut: boolean }> {
  const parts: Uint8Array[] = [];
  let length = 0;
  let cut = false;
  for (const info of await textFiles(place)) {
    cut ||= length >= textBytesMax;
    if (cut) break;
    const bytes = await readStart(place.store, info, textBytesMax - length);
    cut = bytes.length < info.size;
    requireUtf8(bytes, info.path);
    parts.push(bytes);
    length += bytes.length;
  }
  if (length === 0) {
    throw new HeadraceError('CONFIG_INVALID', `${text} holds no text`, {
      detail: { text },
      hint: 'Point --text at a file of UTF-8 text, or at a directory of such files.',
    });
  }
  // no document spans two files
  const bounds = [0];
  for (const part of parts) {
    const start = bounds[bounds.length - 1];
    for (const bound of splitDocuments(part).bounds.subarray(1)) bounds.push(start + bound);
  }
  return { documents: { bytes: Buffer.concat(parts), bounds: Int32Array.from(bounds) }, files: parts.length, cut };
}

/** The file itself, or all files below the directory, in the order of their names. */
async function textFiles({ store, path: place }: OpenedStore): Promise<ObjectInfo[]> {
  try {
    return [await store.head(place)];
  } catch (error) {
    if (!(error instanceof HeadraceError && error.code === 'STORE_NOT_FOUND')) throw error;
    const files: ObjectInfo[] = [];
    try {
      for await (const info of store.list(place.endsWith('/') ? place : `${place}/`)) files.push(info);
    } catch {
      throw error; // neither a file nor a directory: the first answer names it
    }
    return files;
  }
}

/** The first `bytesMax` bytes, without the character that they cut. */
async function readStart(store: Store, { path, size, etag }: ObjectInfo, bytesMax: number): Promise<Uint8Array> {
  const bytes = await store.read(path, { startByte: 0, endByte: Math.min(size, bytesMax) }, { ifMatch: etag });
  return size <= bytesMax ? bytes : bytes.subarray(0, characterStart(bytes, bytes.length - 1));
}

function requireUtf8(bytes: Uint8Array, file: string): void {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new HeadraceError('CONFIG_INVALID', `${file} is not valid UTF-8`, {
      detail: { file },
      hint: 'Point --text at text in UTF-8; Parquet and compressed files are not read here.',
      cause,
    });
  }
}

/** Cuts a text into documents of 4 KiB and the rest of the line. */
export function splitDocuments(bytes: Uint8Array): Documents {
  const bounds = [0];
  for (let start = 0; start < bytes.length;) {
    const lineEnd = bytes.indexOf(10, start + DOCUMENT_BYTES) + 1;
    const wanted = lineEnd === 0 ? bytes.length : lineEnd;
    start = wanted - start <= DOCUMENT_BYTES_MAX ? wanted : breakBefore(bytes, start, start + DOCUMENT_BYTES_MAX);
    bounds.push(start);
  }
  return { bytes, bounds: Int32Array.from(bounds) };
}

/** The last space from `start` to `end`, but not before a document is as long as one should be; else the last start of a character. */
function breakBefore(bytes: Uint8Array, start: number, end: number): number {
  const space = bytes.lastIndexOf(32, end);
  return space >= start + DOCUMENT_BYTES ? space : characterStart(bytes, end);
}

/** The first byte of the character at `position`. */
function characterStart(bytes: Uint8Array, position: number): number {
  let start = position;
  while (start > 0 && (bytes[start] & 0xc0) === 0x80) start--;
  return start;
}

function everyOther({ bytes, bounds }: Documents, first: number): Documents {
  const parts: Uint8Array[] = [];
  const own = [0];
  for (let i = first; i < bounds.length - 1; i += 2) {
    parts.push(bytes.subarray(bounds[i], bounds[i + 1]));
    own.push(own[own.length - 1] + bounds[i + 1] - bounds[i]);
  }
  return { bytes: Buffer.concat(parts), bounds: Int32Array.from(own) };
}

/** In batches as large as the sidecar's own. */
function encode(tokenizer: Tokenizer, { bytes, bounds }: Documents): Phase {
  const documents = bounds.length - 1;
  const started = performance.now();
  let tokens = 0;
  let first = 0;
  while (first < documents && performance.now() - started < PHASE_MS_MAX) {
    let last = first + 1;
    while (last < documents && bounds[last] - bounds[first] < LIMITS.tokenizeAheadBytes) last++;
    const own = bounds.slice(first, last + 1);
    for (let i = 0; i < own.length; i++) own[i] -= bounds[first];
    tokens += tokenizer.encodeBatch(bytes.subarray(bounds[first], bounds[last]), own).ids.length;
    first = last;
  }
  return { documents: first, bytes: bounds[first], tokens, milliseconds: performance.now() - started, whole: first === documents };
}

function phaseLine(name: string, { documents, bytes, tokens, milliseconds, whole }: Phase): string {
  if (documents === 0) return `${name.padEnd(10)} no document is left for it`;
  const seconds = milliseconds / 1000;
  return [
    `${name.padEnd(10)} ${(bytes / 1e6 / seconds).toFixed(2)} MB/s`,
    `${(tokens / 1e6 / seconds).toFixed(3)} M tokens/s`,
    `${tokens} tokens of ${formatSize(bytes)} (${(bytes / tokens).toFixed(2)} bytes each)`,
    `${seconds.toFixed(2)} s${whole ? '' : ', then stopped'}`,
  ].join(' · ');
}
