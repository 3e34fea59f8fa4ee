import { mergeCursors, openPipeline, type ConfigInput, type SkipRecord } from 'headrace';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { digestsOf, expectExactResumes, runPipeline, take } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

/** SHA-256 of the digests of all steps, of one rank: pinned, so that no change moves a stream unseen. */
const ORDERS = {
  jsonl: '82227c260e0bc6993c56dfeea02988de2ffa4edbb144045b0a75a2a36f6a76c1',
  gzip: '82227c260e0bc6993c56dfeea02988de2ffa4edbb144045b0a75a2a36f6a76c1',
  csv: '82227c260e0bc6993c56dfeea02988de2ffa4edbb144045b0a75a2a36f6a76c1',
  text: 'f1405834ff342bde841793883ccd2da4f96ef7992764ee6aa5dec416a505145a',
} as Readonly<Record<string, string>>;

describe('streams of lines', () => {
  let workspace: Workspace;
  const documents = sampleDocuments(300).map(({ text }) => text);

  const config = (name: string): ConfigInput =>
    smallConfig(workspace, {
      sources: { s: { uri: workspace.path(`${name}/`), ...(name === 'text' && { format: 'text' as const, lines: true }) } },
    });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const lines = (own: readonly string[]): string => own.map((text, i) => `${JSON.stringify({ id: i, text })}\n`).join('');
    const csv = (own: readonly string[]): string =>
      `id,text\r\n${own.map((text, i) => `${i},"${text.replaceAll('"', '""')}"\r\n`).join('')}`;
    const text = (own: readonly string[]): string => own.map((document) => `${document.replaceAll('\n', ' ')}\n`).join('');
    const write = async (name: string, ending: string, of: (own: readonly string[]) => string | Uint8Array): Promise<void> => {
      await mkdir(workspace.path(name));
      for (let i = 0; i < 3; i++) await writeFile(workspace.path(name, `${i}${ending}`), of(documents.filter((_, j) => j % 3 === i)));
    };
    await write('jsonl', '.jsonl', lines);
    await write('gzip', '.jsonl.gz', (own) => gzipSync(lines(own)));
    await write('csv', '.csv', csv);
    await write('text', '.txt', text);
  });
  afterAll(() => workspace.remove());

  it.each(Object.keys(ORDERS))(
    '%s: the order is pinned, and a resume at every tenth step, of any number of ranks, is exact',
    async (name) => {
      const { batches: all } = await runPipeline(config(name));
      expect(all.length).toBeGreaterThan(40);
      expect(createHash('sha256').update(digestsOf(all).join('')).digest('hex')).toBe(ORDERS[name]);
      await expectExactResumes(config(name), all, { first: 9, nextMax: 3 });
      const pipeline = await openPipeline(config(name));
      try {
        const halves = await Promise.all([0, 1].map((rank) => take(pipeline.batches({ rank, worldSize: 2, cursor: all[19].cursor }), 2)));
        const again = await take(pipeline.batches({ cursor: mergeCursors(halves.map((half) => half[1].cursor)) }), 1);
        expect(again[0].digest).toBe(all[22].digest);
      } finally {
        await pipeline.close();
      }
    },
  );

  it('jsonl and gzip of it have the same documents; a bad line is left out by policy, and named', async () => {
    await mkdir(workspace.path('bad'));
    await writeFile(workspace.path('bad', 'a.jsonl'), '{"text":"one"}\n{"text":1}\n{"text":"two"}\n');
    await expect(runPipeline(config('bad'))).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*a\.jsonl \(line 2\) has a number in field text, and no text/),
    });
    const skipped: string[] = [];
    const onSkip = ({ problem }: SkipRecord): void => void skipped.push(problem);
    await runPipeline({ ...config('bad'), badRows: 'skip' }, undefined, { onSkip });
    expect(skipped).toHaveLength(1);
    expect(await tokensOf('jsonl')).toBe(await tokensOf('gzip'));
  });

  async function tokensOf(name: string): Promise<number> {
    return (await runPipeline(config(name))).batches.reduce((sum, { tokens }) => sum + tokens, 0);
  }
});
