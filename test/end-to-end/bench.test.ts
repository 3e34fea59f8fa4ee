import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { paragraphs } from '../../examples/corpus/prose.js';
import { splitDocuments } from '../../sidecar/commands/bench.js';
import { runCli } from '../support/sidecar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

describe('headrace bench', () => {
  let workspace: Workspace;
  const prose = paragraphs().slice(0, 50).join('\n\n').slice(0, 200_000);

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await mkdir(workspace.path('texts', 'more'), { recursive: true });
    await mkdir(workspace.path('nothing'));
    await writeFile(workspace.path('texts', 'a.txt'), prose);
    await writeFile(workspace.path('texts', 'more', 'b.txt'), 'Ελληνικά, 日本語 und mehr.\n'.repeat(400));
    await writeFile(workspace.path('latin1.txt'), Buffer.from([0x66, 0xfc, 0x72]));
    await writeFile(workspace.path('empty.txt'), '');
    await writeFile(workspace.path('broken.json'), '{"model": ');
  });
  afterAll(() => workspace.remove());

  const bench = (text: string, ...more: string[]): ReturnType<typeof runCli> =>
    runCli(['bench', '--tokenizer', TOKENIZER_FILE, '--text', text, ...more]);

  it('prints the tokenizer, the text, and both speeds', async () => {
    const { code, out, err } = await bench(workspace.path('texts', 'a.txt'));
    expect(code, err).toBe(0);
    const [tokenizer, text, cold, warm] = out.split('\n');
    expect(tokenizer).toMatch(/^tokenizer {2}.*tokenizer\.json · 50257 tokens · .* · loaded in \d+ ms \(\d+ ms from its compiled form\)$/);
    expect(text).toMatch(/^text {7}.*a\.txt · 1 file · \d+\.\d+ MB · \d+ documents$/);
    for (const [line, name] of [
      [cold, 'cold'],
      [warm, 'warm'],
    ]) {
      expect(line).toMatch(
        new RegExp(`^${name} {7}\\d+\\.\\d+ MB/s · \\d+\\.\\d+ M tokens/s · \\d+ tokens of [\\d.]+ [KM]iB \\(\\d\\.\\d\\d bytes each\\)`),
      );
    }
  });

  it('reads a directory with what is below it, and no more than it is told', async () => {
    expect((await bench(workspace.path('texts'))).out).toMatch(/ · 2 files · /);
    const { out } = await bench(workspace.path('texts'), '--max', '20kB');
    expect(out).toMatch(/ · 1 file · 0\.02 MB \(the first of it\) · /);
  });

  it.each<[string, () => readonly string[], RegExp]>([
    ['a text that is not there', () => [TOKENIZER_FILE, workspace.path('none.txt')], /^error STORE_NOT_FOUND: .*none\.txt does not exist/],
    [
      'a directory without a file',
      () => [TOKENIZER_FILE, workspace.path('nothing')],
      /^error CONFIG_INVALID: .*nothing holds no text\n {2}\S/,
    ],
    ['an empty file', () => [TOKENIZER_FILE, workspace.path('empty.txt')], /^error CONFIG_INVALID: .*empty\.txt holds no text/],
    [
      'a text in another encoding',
      () => [TOKENIZER_FILE, workspace.path('latin1.txt')],
      /^error CONFIG_INVALID: .*latin1\.txt is not valid UTF-8/,
    ],
    ['a tokenizer that is not there', () => [workspace.path('none.json'), workspace.path('texts')], /^error STORE_NOT_FOUND: .*none\.json/],
    ['a tokenizer that is none', () => [workspace.path('broken.json'), workspace.path('texts')], /^error TOKENIZER_INVALID: .*not JSON/],
  ])('one clear error: %s', async (_name, files, expected) => {
    const [tokenizer, text] = files();
    const { code, out, err } = await runCli(['bench', '--tokenizer', tokenizer, '--text', text]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(expected);
    expect(err).not.toMatch(/^\s+at /m);
  });

  it('refuses a size that is none', async () => {
    const { code, err } = await bench(workspace.path('texts'), '--max', 'much');
    expect(code).toBe(1);
    expect(err).toMatch(/--max.*invalid.*64MB/);
  });
});

describe('splitDocuments', () => {
  it('cuts at the end of a line, else at a character, and loses nothing', () => {
    const lines = Buffer.from('a line of text\n'.repeat(2000));
    const { bounds } = splitDocuments(lines);
    expect([bounds[0], bounds[bounds.length - 1]]).toEqual([0, lines.length]);
    for (const bound of bounds.slice(1)) expect(lines[bound - 1]).toBe(10);

    // nowhere a space
    const oneLine = Buffer.from('語'.repeat(100_000));
    const cut = splitDocuments(oneLine).bounds;
    expect(cut.length).toBeGreaterThan(4);
    expect(cut[cut.length - 1]).toBe(oneLine.length);
    for (const [i, bound] of cut.entries()) if (i > 0) expect((bound - cut[i - 1]) % 3).toBe(0);
  });

  it('of nothing is no document', () => {
    expect(splitDocuments(new Uint8Array(0)).bounds).toEqual(Int32Array.of(0));
  });
});
