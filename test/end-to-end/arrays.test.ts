import { openPipeline, type ConfigInput } from 'headrace';
import { execFileSync } from 'node:child_process';
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itDeliversEachOnce, paddedDocuments, type Delivery } from '../support/deliveries.js';
import { runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/arrays.py', import.meta.url));

/** Arrow and files of token ids through the whole pipeline: what pyarrow and NumPy wrote, once each, in an order that is pinned, and exact after a resume. */
describe.skipIf(PYTHON === undefined)('arrays', () => {
  let workspace: Workspace;
  let stream: number[];
  let square: number[][];
  let documents: number[][];
  let lists: (number[] | null)[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (const dir of ['arrow', 'arrays', 'npy', 'megatron', 'arrows']) await mkdir(workspace.path(dir));
    const made = (what: string): unknown =>
      JSON.parse(execFileSync(PYTHON!, [SCRIPT, what, workspace.path(what)], { encoding: 'utf8', maxBuffer: 2 ** 28 }));
    ({ stream, square, documents } = made('arrays') as { stream: number[]; square: number[][]; documents: number[][] });
    ({ int32: lists } = made('arrow') as { int32: (number[] | null)[] });
    await copyFile(workspace.path('arrays/uint16-rows.npy'), workspace.path('npy/a.npy'));
    await copyFile(workspace.path('arrays/int64-rows.npy'), workspace.path('npy/b.npy'));
    for (const ending of ['bin', 'idx'])
      await copyFile(workspace.path(`arrays/megatron-uint16.${ending}`), workspace.path(`megatron/text_document.${ending}`));
    for (const name of ['stream.arrow', 'lz4.arrows', 'sliced.arrow'])
      await copyFile(workspace.path(`arrow/${name}`), workspace.path(`arrows/${name}`));
  });
  afterAll(() => workspace.remove());

  const present = (rows: readonly (number[] | null)[]): number[][] => rows.filter((row) => row !== null && row.length > 0) as number[][];

  const split = (ids: readonly number[], end: number): number[][] => {
    const bounds = [...ids.entries()].filter(([, id]) => id === end).map(([at]) => at + 1);
    return [0, ...bounds].map((start, i) => ids.slice(start, bounds[i])).filter(({ length }) => length > 0);
  };

  const cut = (ids: readonly number[], length: number): number[][] =>
    Array.from({ length: Math.ceil(ids.length / length) }, (_, i) => ids.slice(i * length, (i + 1) * length));

  interface Case extends Omit<Delivery, 'config'> {
    readonly source: () => ConfigInput['sources'][string];
  }

  const CASES: Readonly<Record<string, Case>> = {
    'Arrow files and streams': {
      source: () => ({ uri: workspace.path('arrows/'), tokens: 'int32' }),
      expected: () => [...present(lists), ...present(lists), ...present(lists)],
      order: '50f5097242e84b2e977c08d0fcebec7e11f70060b7f935ab2ee47d27db44d3a5',
    },
    'arrays of two dimensions': {
      source: () => ({ uri: workspace.path('npy/'), format: 'npy' }),
      expected: () => [...square, ...square],
      order: 'edf1980f19113f37f500eefa7f586790ccc54e624d273636ef04ba4af1090df0',
    },
    'a stream of documents': {
      source: () => ({ uri: workspace.path('arrays/stream.bin'), array: { dtype: 'uint16', eosId: 0 } }),
      expected: () => split(stream, 0),
      order: '7128f553141f3253077d5cc428607ccce842734393d6c40f858f1e0971b1b415',
    },
    'a stream without documents, of llm.c': {
      source: () => ({ uri: workspace.path('arrays/llmc.bin'), array: { rowTokens: 50 } }),
      expected: () => cut(stream, 50),
      order: '636dde699b3d33456e424b6a0fb63a260f9ca4949565256f6100f0ddd35c4cff',
    },
    'a Megatron data set by its prefix': {
      source: () => ({ uri: workspace.path('megatron/text_document'), format: 'megatron' }),
      expected: () => documents.filter(({ length }) => length > 0),
      order: 'ee1db11996dba41038d5c6d9ecdced0e323a446dfbe68899940970e5e04a1c87',
    },
  };

  const config = (source: ConfigInput['sources'][string], changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 11,
      sources: { s: source },
      tokenizer: undefined,
      sequence: { length: 512, packing: 'pad', padId: 0 },
      badRows: 'skip',
      ...changes,
    });

  const documentsOf = async (input: ConfigInput): Promise<string[]> => paddedDocuments((await runPipeline(input)).batches);

  describe.each(Object.entries(CASES))('%s', (_name, { source, ...delivery }) => {
    itDeliversEachOnce({ ...delivery, config: (workers) => config(source(), { limits: { workers } }) }, 4);
  });

  it('packed rows pass through with packing: none, and what is left of a stream and is no whole row is left out', async () => {
    const none = { sequence: { length: 16, packing: 'none' as const }, badRows: 'fail' as const };
    const rows = await documentsOf(config({ uri: workspace.path('npy/'), format: 'npy' }, none));
    expect(rows.sort()).toEqual([...square, ...square].map(String).sort());
    const tokens = await documentsOf(config({ uri: workspace.path('arrays/llmc.bin') }, none));
    expect(tokens.sort()).toEqual(cut(stream, 16).slice(0, -1).map(String).sort());
  });

  it('a .bin that changes renews what was kept of its .idx', async () => {
    const dir = workspace.path('renewed');
    await cp(workspace.path('megatron'), dir, { recursive: true });
    const own = config({ uri: `${dir}/`, format: 'megatron' }, { cache: { dir: workspace.path('renewed-cache') } });
    const first = await documentsOf(own);
    const bin = `${dir}/text_document.bin`;
    const bytes = await readFile(bin);
    await writeFile(bin, bytes.swap16());
    const renewed = await documentsOf(own);
    expect(renewed).toHaveLength(first.length);
    expect(renewed).not.toEqual(first);
  });

  it('ids out of range are bad rows', async () => {
    const source = { uri: workspace.path('arrays/wide.npy') };
    await expect(documentsOf(config(source, { badRows: 'fail' }))).rejects.toMatchObject({
      code: 'TOKEN_OUT_OF_RANGE',
      message: expect.stringMatching(/1099511627776|2147483649/),
    });
    expect(await documentsOf(config(source))).toEqual(['1,2']);
  });

  it.each([
    [{ uri: 'x.npy', text: 'text' }, /s\.text names a column/],
    [{ uri: 'x.npy', id: 'id' }, /s\.id names a column/],
    [{ uri: 'x.parquet', array: { eosId: 1 } }, /array is for files of token ids/],
    [{ uri: 'x/' }, /format/],
  ])('%j is refused with what to write', async (source, message) => {
    await expect(openPipeline(config(source))).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) });
  });
});
