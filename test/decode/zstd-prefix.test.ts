import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { zstdPrefix } from '../../src/decode/parquet/zstd-prefix.js';

const WRITER = fileURLToPath(new URL('../support/compressed.py', import.meta.url));
const BLOCK = 128 * 2 ** 10;

describe('zstdPrefix', () => {
  let directory: string;
  const read = (name: string): Buffer => readFileSync(path.join(directory, name));

  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'headrace-zstd-'));
    execFileSync(process.env.HEADRACE_PYTHON ?? 'python3', [WRITER, 'contents', directory]);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(['level-5', 'level1', 'level3', 'level9', 'level19', 'streamed', 'unchecked', 'noise', 'run'])(
    'gives the first bytes of what libzstd wrote, and does not decompress the rest: %s',
    (name) => {
      const [frame, plain] = [read(`${name}.zst`), read(`${name}.zst.plain`)];
      for (const wanted of [0, 1, 4, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]) {
        const prefix = zstdPrefix(frame, wanted);
        expect(prefix?.length).toBeGreaterThanOrEqual(wanted);
        expect(prefix?.length).toBeLessThanOrEqual(2 * Math.max(BLOCK, wanted + BLOCK));
        expect(Buffer.compare(prefix!, plain.subarray(0, prefix!.length))).toBe(0);
      }
    },
  );

  it('leaves to others what it cannot cut: one block, no frame of data first, a dictionary, a window that few have', () => {
    for (const name of ['empty', 'nothing', 'dictionary', 'window']) expect(zstdPrefix(read(`${name}.zst`), 1), name).toBeUndefined();
    expect(zstdPrefix(read('unchecked.zst'), 3_000_001)).toBeUndefined();
    expect(zstdPrefix(read('frames.zst'), 200_000)).toBeUndefined(); // its first frame has 100,007 bytes
  });

  it('reads or refuses what is damaged, and does nothing else', () => {
    const frame = read('level3.zst').subarray(0, 60_000);
    fc.assert(
      fc.property(fc.nat({ max: frame.length - 1 }), fc.nat({ max: 255 }), fc.nat({ max: 2 * BLOCK }), (at, value, wanted) => {
        const damaged = Uint8Array.from(frame);
        damaged[at] = value;
        try {
          const prefix = zstdPrefix(damaged, wanted);
          if (prefix !== undefined) expect(prefix.length).toBeGreaterThanOrEqual(wanted);
        } catch (error) {
          expect((error as Error).message).toMatch(/zstd|ZSTD|orrupt|ufferTooSmall|Data|Restored|Unsupported|frame|output/i);
        }
      }),
    );
  });
});
