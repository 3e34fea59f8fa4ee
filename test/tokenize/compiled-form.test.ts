import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { openPipeline, type ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { loadTokenizer } from '../../src/open-tokenizer.js';
import { COMPILED_VERSION, compiledKey, readCompiled, writeCompiled } from '../../src/tokenize/compiled-form.js';
import { parseTokenizer, parseTokenizerWith, type CompiledForms } from '../../src/tokenize/load-tokenizer.js';
import { prepareTokenizer } from '../../src/tokenize/prepared.js';
import type { Tokenizer } from '../../src/tokenize/tokenizer.js';
import { readTokenizerFile as readFile } from '../../src/tokenize/tokenizer-file.js';
import { differingDocuments } from './comparison.js';
import { ownCorpora, selectCorpora, sharedCorpora, testShare } from './corpora.js';
import { createTokenizer, readTokenizerFile, tokenizerNames, tokenizerPath } from './tokenizers.js';

const SEED = Number(process.env.HEADRACE_EXACT_SEED ?? 4);
const NAMES = tokenizerNames(process.env.HEADRACE_EXACT ?? 'gpt2,qwen3,llama2');
const CHILD = fileURLToPath(new URL('compiled-form-child.mjs', import.meta.url));
const TEXT = 'The mill turns; the race runs.\n\n  “Water”, he said: naïve e\u0301 <|endoftext|> 水車 12345';

/** A small file of each kind: marks for spaces, and byte-level with a normal form. */
const SMALL = { characters: charactersFile(), bytes: bytesFile() };

function charactersFile(): object {
  const tokens = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const vocab = Object.fromEntries([...tokens, '▁', 't', 'h', 'e', 'th', 'the', '▁the'].map((token, id) => [token, id]));
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    decoder: null,
    model: { type: 'BPE', vocab, merges: ['t h', 'th e', '▁ the'], byte_fallback: true, unk_token: null },
  };
}

function bytesFile(): object {
  const json = JSON.parse(readFileSync(tokenizerPath('gpt2'), 'utf8')) as { model: { vocab: Record<string, number>; merges: string[] } };
  const merges = json.model.merges.slice(0, 300);
  const kept = Object.entries(json.model.vocab).filter(([, id]) => id < 256 + merges.length);
  return { ...json, normalizer: { type: 'NFC' }, model: { ...json.model, vocab: Object.fromEntries(kept), merges } };
}

/** In memory: what was put is what comes back, in a buffer of its own. */
function memoryForms(): CompiledForms & { readonly kept: Map<string, Uint8Array> } {
  const kept = new Map<string, Uint8Array>();
  return { kept, get: (key) => Promise.resolve(kept.get(key)?.slice()), put: (key, form) => void kept.set(key, form) };
}

function filesBelow(dir: string): string[] {
  const found = readdirSync(dir, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

const SHARE = {
  ...testShare(SEED),
  proseBytes: 50_000,
  codeBytes: 50_000,
  languageBytes: 50_000,
  every: 60,
  strings: 500,
  wordBytes: 10_000,
  runBytes: 1000,
};
/** The tables are the same or not: what takes long brings nothing more. Made once, for all tokenizers. */
const SHARED = selectCorpora(
  sharedCorpora(SHARE),
  '-code-points-alone,-code-points-between-letters,-code-points-in-context,-long-words',
).map(({ name, parts }) => ({ name, documents: once(() => [...parts()]) }));

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

describe.each(NAMES)('the compiled form of %s', (name) => {
  const file = readTokenizerFile(name);

  it.each(['plain', 'match'] as const)(
    'gives the ids, the texts and the facts of the file, special tokens: %s',
    { timeout: 300_000 },
    async (specialTokens) => {
      const forms = memoryForms();
      const fresh = createTokenizer(file, specialTokens);
      const load = (): Promise<Tokenizer> => parseTokenizerWith(forms, readFileSync(file.path), file.path, { specialTokens });
      const first = await load();
      expect(forms.kept.size).toBe(1);
      const [form] = forms.kept.values();
      const second = await load();
      expect([...forms.kept.values()][0] === form).toBe(true); // it was not made again
      for (const other of [first, second]) {
        expect([other.path, other.vocabSize, other.fingerprint]).toEqual(['kernel', fresh.vocabSize, fresh.fingerprint]);
        expect(other.specialTokens).toEqual(fresh.specialTokens);
        for (const token of ['the', 'Ġthe', '▁the', '</s>', '<|endoftext|>', 'no such token']) {
          expect(other.tokenId(token)).toBe(fresh.tokenId(token));
        }
      }
      const own = ownCorpora(SHARE, file).map(({ name, parts }) => ({ name, documents: () => parts() }));
      for (const corpus of [...(specialTokens === 'plain' ? SHARED : []), ...own]) {
        for (const { bytes, bounds } of corpus.documents()) {
          const expected = fresh.encodeBatch(bytes, bounds);
          const actual = second.encodeBatch(bytes, bounds);
          expect(differingDocuments({ expected, actual }), `${corpus.name}, seed ${SEED}`).toEqual([]);
          const some = expected.ids.slice(0, 500);
          expect(second.decode(some)).toBe(fresh.decode(some));
        }
      }
    },
  );
});

describe('a compiled form', () => {
  it('is of this version: where its bytes change, COMPILED_VERSION is to be raised, and these with it', () => {
    const digests = Object.values(SMALL).map((json) => {
      const read = readFile(Buffer.from(JSON.stringify(json)), 'small');
      const form = writeCompiled(read, prepareTokenizer(read, { specialTokens: 'plain' }));
      return createHash('sha256').update(form!).digest('hex').slice(0, 16);
    });
    expect([COMPILED_VERSION, ...digests]).toEqual([3, '6be83ef5682f6f8f', '019ae74b9cdf8dd9']);
  });

  it('has a key that says the file, its options, the program and its kernel', () => {
    const [plain, match] = (['plain', 'match'] as const).map(
      (specialTokens) => parseTokenizer(SMALL.bytes, 'small', { specialTokens }).fingerprint,
    );
    expect(compiledKey(plain)).not.toBe(compiledKey(match));
    expect(compiledKey(plain)).toMatch(/^\["tokenizer","[0-9a-f]{64}",\d+,"\d[^"]*","[0-9a-f]{64}"\]$/);
  });

  it('is none where the file takes another path', async () => {
    const forms = memoryForms();
    const words = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: null,
      decoder: null,
      model: { type: 'WordLevel', vocab: { a: 0, '[UNK]': 1 }, unk_token: '[UNK]' },
    };
    expect((await parseTokenizerWith(forms, words, 'words')).path).toBe('hugging-face');
    expect(forms.kept.size).toBe(0);
  });

  it('is refused where its lengths do not add up, whatever they are', () => {
    const read = readFile(Buffer.from(JSON.stringify(SMALL.bytes)), 'small');
    const form = writeCompiled(read, prepareTokenizer(read, { specialTokens: 'plain' }))!;
    const options = { specialTokens: 'plain' } as const;
    expect(readCompiled(form.slice(), options)?.vocabSize).toBe(read.vocabSize);
    const word = fc.oneof(fc.nat(), fc.constantFrom(0, 1, 0x7fffffff, 0xfffffffc, 0xffffffff));
    const property = fc.property(fc.nat(5), word, (place, value) => {
      const changed = form.slice();
      const words = new Uint32Array(changed.buffer, 0, 6);
      fc.pre(words[place] !== value && !(place === 1 && value < 3) && !(place === 0 && value % 16 === 0 && value < words[2]));
      words[place] = value;
      expect(readCompiled(changed, options)).toBeUndefined();
    });
    fc.assert(property, { numRuns: 500, seed: SEED });
    for (const length of [0, 1, 63, 64, form.length - 1]) expect(readCompiled(form.slice(0, length), options)).toBeUndefined();
  });
});

describe('compiled forms in the cache directory', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('are written by the first load and read by the next, one file a tokenizer and option; nothing is written without a directory', async () => {
    const cacheDir = path.join(dir, 'first');
    const expected = (await loadTokenizer(SMALL.bytes)).encode(TEXT);
    for (let i = 0; i < 3; i++) expect((await loadTokenizer(SMALL.bytes, { cacheDir })).encode(TEXT)).toEqual(expected);
    await loadTokenizer(SMALL.bytes, { cacheDir, specialTokens: 'match' });
    await loadTokenizer(SMALL.characters, { cacheDir });
    expect(filesBelow(cacheDir).map((file) => path.relative(cacheDir, file).split(path.sep).slice(0, 2).join('/'))).toEqual([
      'tokenizers/entries',
      'tokenizers/entries',
      'tokenizers/entries',
    ]);
  });

  it('that are damaged, cut, lengthened or of another tokenizer change no id, and are made anew', { timeout: 120_000 }, async () => {
    const cacheDir = path.join(dir, 'damaged');
    const load = (): Promise<Tokenizer> => loadTokenizer(SMALL.bytes, { cacheDir });
    const expected = (await load()).encode(TEXT);
    const [file] = filesBelow(cacheDir);
    const whole = readFileSync(file);
    await loadTokenizer(SMALL.characters, { cacheDir });
    const foreign = readFileSync(filesBelow(cacheDir).find((other) => other !== file)!);
    const damage = fc.oneof(
      fc.record({ kind: fc.constant('flip' as const), at: fc.nat(whole.length - 1), bit: fc.nat(7) }),
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat(whole.length - 1) }),
      fc.record({ kind: fc.constant('zeros' as const), at: fc.nat(whole.length - 1), bytes: fc.integer({ min: 1, max: 4096 }) }),
      fc.record({ kind: fc.constant('more' as const), bytes: fc.integer({ min: 1, max: 100 }) }),
      fc.constant({ kind: 'foreign' as const }),
    );
    const property = fc.asyncProperty(damage, async (harm) => {
      const bytes = Buffer.from(whole);
      if (harm.kind === 'flip') bytes[harm.at] ^= 1 << harm.bit;
      if (harm.kind === 'zeros') bytes.fill(0, harm.at, Math.min(bytes.length, harm.at + harm.bytes));
      const harmed = {
        flip: bytes,
        zeros: bytes,
        cut: harm.kind === 'cut' ? bytes.subarray(0, harm.at) : bytes,
        more: harm.kind === 'more' ? Buffer.concat([bytes, Buffer.alloc(harm.bytes)]) : bytes,
        foreign,
      }[harm.kind];
      await unlink(file);
      await writeFile(file, harmed);
      const tokenizer = await load();
      expect([tokenizer.path, ...tokenizer.encode(TEXT)]).toEqual(['kernel', ...expected]);
      expect(Buffer.compare(readFileSync(file), whole)).toBe(0);
    });
    await fc.assert(property, { numRuns: 60, seed: SEED });
  });

  it('may be written by several processes at once', { timeout: 120_000 }, async () => {
    const cacheDir = path.join(dir, 'processes');
    const expected = Array.from(parseTokenizer(readFileSync(tokenizerPath('gpt2')), 'gpt2').encode(TEXT));
    const runs = Array.from({ length: 4 }, () =>
      promisify(execFile)(process.execPath, [CHILD, tokenizerPath('gpt2'), cacheDir, TEXT]).then(
        ({ stdout }) => JSON.parse(stdout) as number[][],
      ),
    );
    for (const ids of (await Promise.all(runs)).flat()) expect(ids).toEqual(expected);
    expect(filesBelow(cacheDir)).toHaveLength(1);
  });

  it('a directory that cannot be written is said once, and changes nothing', async () => {
    const cacheDir = path.join(dir, 'no-directory');
    await writeFile(cacheDir, '');
    const expected = (await loadTokenizer(SMALL.bytes)).encode(TEXT);
    const said: string[] = [];
    expect((await loadTokenizer(SMALL.bytes, { cacheDir, warn: (message) => said.push(message) })).encode(TEXT)).toEqual(expected);
    expect(said.filter((message) => message.includes('cannot be written'))).toHaveLength(1);
  });

  it('are kept by pipelines, whose stream is the same from the file, from the form, and where there is none', async () => {
    const data = path.join(dir, 'data');
    await mkdir(data);
    const documents = sampleDocuments(60).map(({ text }, id) => ({ id: String(id), text }));
    await writeShards(data, documents, 2, 10);
    const config = (cacheDir: string): ConfigInput => ({
      sources: { prose: { uri: `${data}/` } },
      tokenizer: { file: tokenizerPath('gpt2') },
      sequence: { length: 64 },
      batch: { size: 4, lanes: 2 },
      epochs: 1,
      last: 'pad',
      cache: { dir: cacheDir, size: 0 },
      limits: { workers: 1 },
    });
    const run = async (cacheDir: string): Promise<string> => {
      const warnings: string[] = [];
      const pipeline = await openPipeline(config(cacheDir), { warn: (message) => warnings.push(message) });
      const hash = createHash('sha256');
      try {
        for await (const { inputIds } of pipeline.batches())
          hash.update(new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength));
      } finally {
        await pipeline.close();
      }
      return hash.digest('hex');
    };
    const cacheDir = path.join(dir, 'pipeline');
    const fresh = await run(cacheDir);
    const [form] = filesBelow(path.join(cacheDir, 'tokenizers'));
    expect(await run(cacheDir)).toBe(fresh);
    await writeFile(form, readFileSync(form).subarray(0, 1000));
    expect(await run(cacheDir)).toBe(fresh);
    expect(filesBelow(path.join(cacheDir, 'tokenizers'))).toEqual([form]);
  });
});
