import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// built: zstd is decompressed in a thread, which is a file of its own
import { openContent, passContent, type ContentObject } from '../../../dist/src/decode/compressed/content.js';
import { HeadraceError } from '../../../dist/src/core/errors.js';
import { memoryStore } from '../../../dist/src/store/memory.js';

const WRITER = fileURLToPath(new URL('../../support/compressed.py', import.meta.url));
const { signal } = new AbortController();

describe('content', () => {
  let directory: string;
  const read = (name: string): Buffer => readFileSync(path.join(directory, name));

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'headrace-content-'));
    execFileSync(process.env.HEADRACE_PYTHON ?? 'python3', [WRITER, 'contents', directory]);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const names = (): string[] => readdirSync(directory).filter((name) => readdirSync(directory).includes(`${name}.plain`));

  async function place(name: string, bytes: Uint8Array): Promise<{ store: ReturnType<typeof memoryStore>; object: ContentObject }> {
    const store = memoryStore('memory:///', { [name]: bytes });
    const { size, etag } = await store.head(name);
    return { store, object: { path: name, uri: `memory:///${name}`, size, etag } };
  }

  async function whole(name: string, bytes: Uint8Array): Promise<Buffer> {
    const { store, object } = await place(name, bytes);
    const pieces: Uint8Array[] = [];
    for await (const piece of passContent(store, object).pieces) pieces.push(piece.slice());
    return Buffer.concat(pieces);
  }

  it('is what Python wrote, whole and from the start of each part', async () => {
    expect(names().length).toBeGreaterThan(18);
    for (const name of names()) {
      const plain = read(`${name}.plain`);
      const { store, object } = await place(name, read(name));
      const pass = passContent(store, object);
      const pieces: Uint8Array[] = [];
      for await (const piece of pass.pieces) pieces.push(piece.slice());
      expect(Buffer.concat(pieces).equals(plain), name).toBe(true);
      const ends = [...pass.parts.slice(1).map(({ contentByte }) => contentByte), plain.length];
      expect(pass.parts.at(-1)?.endByte ?? 0, name).toBe(object.size);
      for (const [i, part] of pass.parts.entries()) {
        const own = await openContent(store, object, part).read(0, ends[i] - part.contentByte + 1, signal);
        expect(Buffer.from(own).equals(plain.subarray(part.contentByte, ends[i])), `${name}, part ${i}`).toBe(true);
      }
    }
  });

  it('has parts where frames and members say where they end, and one part elsewhere', async () => {
    const parts = async (name: string): Promise<number> => {
      const { store, object } = await place(name, read(name));
      const pass = passContent(store, object);
      for await (const piece of pass.pieces) expect(piece.length).toBeLessThanOrEqual(2 ** 19);
      return pass.parts.length;
    };
    expect(await parts('one.gz')).toBe(1);
    expect(await parts('members.gz')).toBe(1);
    expect(await parts('blocks.bgz')).toBeGreaterThan(8);
    expect(await parts('mixed.gz')).toBeGreaterThan(3);
    expect(await parts('frames.zst')).toBeGreaterThan(9);
    expect(await parts('streamed.zst')).toBe(1);
  });

  it('is read forward in any steps, and goes back by starting again', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('one.gz', 'blocks.bgz', 'level3.zst', 'frames.zst', 'plain'),
        fc.array(fc.tuple(fc.nat(500_000), fc.nat(200_000), fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 8 }),
        async (name, steps) => {
          const plain = read(name === 'plain' ? 'one.gz.plain' : `${name}.plain`);
          const { store, object } = await place(name, name === 'plain' ? plain : read(name));
          const content = openContent(store, object, { startByte: 0, endByte: object.size });
          let start = 0;
          for (const [ahead, length, back] of steps) {
            start = back === 0 ? Math.floor(start / 2) : start + ahead;
            const bytes = await content.read(start, start + length, signal);
            expect(Buffer.from(bytes).equals(plain.subarray(start, start + length))).toBe(true);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each(['one.gz', 'blocks.bgz', 'level3.zst', 'frames.zst', 'streamed.zst'])(
    '%s cut off anywhere, or with bytes changed, is damage',
    async (name) => {
      const stored = read(name);
      const plain = read(`${name}.plain`);
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: stored.length - 1 }),
          fc.boolean(),
          fc.integer({ min: 1, max: 255 }),
          async (at, cut, flip) => {
            const bytes = cut ? stored.subarray(0, at) : Buffer.from(stored);
            if (!cut) bytes[at] ^= flip;
            const outcome = await whole(name, bytes).catch((error: unknown) => error);
            if (outcome instanceof HeadraceError) expect(outcome.code).toMatch(/^SHARD_(INVALID|UNSUPPORTED)$/);
            // what is cut between two frames is whole as far as anybody can know; some bytes of a header say nothing of the content
            else if (Buffer.isBuffer(outcome))
              expect(outcome.equals(plain.subarray(0, outcome.length)) && (cut || outcome.length === plain.length)).toBe(true);
            else throw outcome;
          },
        ),
        { numRuns: 20 },
      );
    },
    120_000,
  );

  it.each(['bomb.zst', 'window.zst', 'dictionary.zst'])('%s is refused', async (name) => {
    await expect(whole(name, read(name))).rejects.toMatchObject({ code: 'SHARD_UNSUPPORTED' });
  });

  it('the densest gzip there is can be read: deflate has a limit of its own', async () => {
    expect((await whole('bomb.gz', read('bomb.gz'))).length).toBe(50_000_000);
  });

  it('frames of zstd that are to be skipped have no content, wherever they are, and alone', async () => {
    const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const frame = read('level3.zst');
    const plain = read('level3.zst.plain');
    expect((await whole('skipped.zst', skipped)).length).toBe(0);
    expect((await whole('skipped.zst', Buffer.concat([skipped, frame, skipped, skipped]))).equals(plain)).toBe(true);
    expect((await whole('skipped.zst', Buffer.concat([frame, skipped, frame]))).equals(Buffer.concat([plain, plain]))).toBe(true);
    await expect(whole('skipped.zst', Buffer.concat([frame, skipped.subarray(0, 9)]))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
  });

  it('frames of zstd without checksums are damaged where libzstd says so', async () => {
    const damaged = path.join(directory, 'damaged');
    const verdicts = JSON.parse(
      execFileSync(process.env.HEADRACE_PYTHON ?? 'python3', [WRITER, 'damaged', damaged], { encoding: 'utf8' }),
    ) as Readonly<Record<string, string | null>>;
    const digests = Object.values(verdicts);
    expect(digests.filter((digest) => digest !== null).length).toBeGreaterThan(5);
    const different: string[] = [];
    for (const [name, digest] of Object.entries(verdicts)) {
      const content = await whole(name, readFileSync(path.join(damaged, name))).catch((error: unknown) => error);
      if (content instanceof Error) expect(content, name).toMatchObject({ code: expect.stringMatching(/^SHARD_(INVALID|UNSUPPORTED)$/) });
      // an error is always right where there is no checksum to say otherwise; other content is not
      else if (
        createHash('sha256')
          .update(content as Buffer)
          .digest('hex') !== digest
      )
        different.push(name);
    }
    // the libzstd in WebAssembly is older than Python's, and reads one of them otherwise
    expect(different.length).toBeLessThanOrEqual(1);
  });

  it('what follows the last member of gzip is padding, or damage', async () => {
    await expect(whole('x.gz', Buffer.concat([read('one.gz'), Buffer.from('garbage')]))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    await expect(whole('x.gz', Buffer.concat([read('padded.gz'), Buffer.from('garbage')]))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
    });
  });

  it('an abort ends a read, and the next one begins again', async () => {
    const { store, object } = await place('one.gz', read('one.gz'));
    const content = openContent(store, object, { startByte: 0, endByte: object.size });
    await expect(content.read(0, 10, AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
    expect(Buffer.from(await content.read(5, 10, signal)).equals(read('one.gz.plain').subarray(5, 10))).toBe(true);
  });
});
