/** The corpus of the end-to-end benchmark in every layout, made once and kept in the cache; and its way to the server. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { mapConcurrent } from '../../src/core/map-concurrent.js';
import type { S3Server } from '../../test/support/s3-server.js';
import { prepareTexts } from '../tokenize-texts.js';
import type { Corpus } from './gates.js';

/** Raise it when layouts.py writes something else. */
const VERSION = 2;
const UPLOADS_AT_ONCE = 4;
const LAYOUT = /^(?:parquet|tar|mds|litdata)-/;
/** Raise it when images.py writes something else. */
const IMAGES_VERSION = 1;
/** Images of so many bytes for each of text: the smallest corpus that lasts as long. */
const IMAGES_A_TEXT = 5;

export interface MadeCorpus extends Corpus {
  readonly dir: string;
  readonly source: string;
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  readonly tokenSum: number;
  readonly newWordShare: number;
}

export interface CorpusRequest {
  readonly root: string;
  readonly cacheDir: string;
  readonly python: string;
  readonly tokenizerFile: string;
  readonly megabytes: number;
  readonly shards: number;
}

export function makeCorpus({ root, cacheDir, python, tokenizerFile, megabytes, shards }: CorpusRequest): MadeCorpus {
  const [text] = prepareTexts({
    names: ['prose'],
    megabytes: { cold: megabytes, warm: 0, held: 0 },
    root,
    cacheDir,
    djangoDir: '',
    udhrDir: '',
    specialTokens: ['<|endoftext|>'],
  });
  const key = createHash('sha256')
    .update(JSON.stringify([VERSION, path.basename(path.dirname(text.prefix)), shards]))
    .digest('hex')
    .slice(0, 12);
  const dir = path.join(cacheDir, 'end-to-end', key);
  if (!existsSync(path.join(dir, 'corpus.json'))) {
    console.log(`writing ${megabytes} MB of text in every layout …`);
    const making = `${dir}.${process.pid}`;
    mkdirSync(making, { recursive: true });
    const script = path.join(root, 'bench', 'end-to-end', 'layouts.py');
    const made = execFileSync(python, [script, `${text.prefix}-cold`, tokenizerFile, making, String(shards)], { encoding: 'utf8' });
    writeFileSync(path.join(making, 'corpus.json'), made.trim().split('\n').at(-1)!);
    rmSync(dir, { recursive: true, force: true });
    renameSync(making, dir);
  }
  const facts = JSON.parse(readFileSync(path.join(dir, 'corpus.json'), 'utf8')) as Omit<MadeCorpus, 'dir' | 'ids' | 'source'>;
  const stored = readFileSync(path.join(dir, 'tokens.bin'));
  const ids = new Uint16Array(stored.buffer.slice(stored.byteOffset, stored.byteOffset + stored.byteLength));
  return { ...facts, dir, ids, source: text.info.source, newWordShare: text.info.newWordShare };
}

export interface MadeImages {
  readonly dir: string;
  readonly samples: number;
  /** Of images and captions. */
  readonly bytes: number;
  /** Of each sample, ascending. */
  readonly hashes: BigUint64Array;
}

export function makeImages({ root, cacheDir, python, megabytes, shards }: Omit<CorpusRequest, 'tokenizerFile'>): MadeImages {
  const size = IMAGES_A_TEXT * megabytes;
  const dir = path.join(cacheDir, 'end-to-end', `images-${IMAGES_VERSION}-${size}-${shards}`);
  if (!existsSync(path.join(dir, 'images.json'))) {
    console.log(`writing ${size} MB of images in every layout …`);
    const making = `${dir}.${process.pid}`;
    mkdirSync(making, { recursive: true });
    const script = path.join(root, 'bench', 'end-to-end', 'images.py');
    const made = execFileSync(python, [script, making, String(size), String(shards)], { encoding: 'utf8' });
    writeFileSync(path.join(making, 'images.json'), made.trim().split('\n').at(-1)!);
    rmSync(dir, { recursive: true, force: true });
    renameSync(making, dir);
  }
  const facts = JSON.parse(readFileSync(path.join(dir, 'images.json'), 'utf8')) as Pick<MadeImages, 'samples' | 'bytes'>;
  const stored = readFileSync(path.join(dir, 'images.hashes'));
  return { ...facts, dir, hashes: new BigUint64Array(stored.buffer.slice(stored.byteOffset, stored.byteOffset + stored.byteLength)) };
}

/** Below `prefix`; answers with the bytes of each layout. */
export async function upload(corpus: { readonly dir: string }, server: S3Server, prefix: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  const files = readdirSync(corpus.dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && LAYOUT.test(path.relative(corpus.dir, entry.parentPath)))
    .map((entry) => path.relative(corpus.dir, path.join(entry.parentPath, entry.name)));
  await mapConcurrent(files, UPLOADS_AT_ONCE, async (file) => {
    const body = readFileSync(path.join(corpus.dir, file));
    const layout = file.split(path.sep)[0];
    sizes[layout] = (sizes[layout] ?? 0) + body.length;
    await server.put(`${prefix}/${file.split(path.sep).join('/')}`, body);
  });
  return sizes;
}
