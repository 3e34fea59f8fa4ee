import { loadTokenizer, type ConfigInput } from 'headrace';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe } from 'vitest';
import { itDeliversEachOnce } from '../support/deliveries.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const FIXTURES = fileURLToPath(new URL('../decode/litdata/fixtures/', import.meta.url));

type Row = Readonly<Record<string, unknown>>;

/** litData through the whole pipeline: what `litdata.optimize` wrote, each row once, in an order that is pinned, and exact after a resume. */
describe('litData', () => {
  let workspace: Workspace;
  let rows: Readonly<Record<string, readonly unknown[]>>;
  let textIds: (text: unknown) => readonly number[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    rows = JSON.parse(await readFile(`${FIXTURES}expected.json`, 'utf8')) as typeof rows;
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    textIds = (text) => [...tokenizer.encode(text as string)];
  });
  afterAll(() => workspace.remove());

  const config = (set: string, source: Partial<ConfigInput['sources'][string]>, workers: number): ConfigInput =>
    smallConfig(workspace, {
      seed: 11,
      sources: { s: { uri: `${FIXTURES}${set}/`, format: 'litdata', ...source } },
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { length: 128, packing: 'pad', padId: 0 },
      shuffle: { blocks: 2, windowBytes: '64KiB' },
      batch: { size: 2, lanes: 2 },
      limits: { workers },
    });

  /** Set, source, and as of `Delivery` the ids of each row and the pinned order. */
  const CASES: Readonly<Record<string, readonly [string, Partial<ConfigInput['sources'][string]>, () => (readonly number[])[], string]>> = {
    'a bare text': ['bare', {}, () => rows.bare.map(textIds), '0575350b8ce88e5a5001a12d7ffb8670f2836652fcb9b9d512929663a6cc0e55'],
    'rows in Arrow': [
      'rows',
      { text: 'meta.body' },
      () => rows.rows.map((row) => textIds(((row as Row).meta as Row).body)),
      '9e4e3c3af608790742287d749380b0b27cf346c022909750c208e47ad63707e1',
    ],
    'ids of rows in Arrow': [
      'rows',
      { tokens: 'ids' },
      () => rows.rows.map((row) => (row as Row).ids as number[]),
      '95b36b47a942a0e4b19196dbbd873225a53edea8d989413e1d0e57b143141ff7',
    ],
    'grouped frames': [
      'frames',
      { text: '0' },
      () => rows.positions.map((row) => textIds((row as unknown[])[0])),
      '0575350b8ce88e5a5001a12d7ffb8670f2836652fcb9b9d512929663a6cc0e55',
    ],
    'chunks that are compressed as a whole': [
      'chunk-zstd',
      { text: 'text' },
      () => rows.mixed.map((row) => textIds((row as Row).text)),
      '0575350b8ce88e5a5001a12d7ffb8670f2836652fcb9b9d512929663a6cc0e55',
    ],
    'samples that are compressed one by one': [
      'samples-zstd',
      { text: 'value' },
      () => rows.bare.map(textIds),
      '0575350b8ce88e5a5001a12d7ffb8670f2836652fcb9b9d512929663a6cc0e55',
    ],
    'token ids of a TokensLoader': [
      'tokens',
      { tokens: 'tokens' },
      () => rows.tokens as number[][],
      '464c399148f01767ac6a70ddcb941f64a434bd9a61df09f3be89b06706176694',
    ],
  };

  describe.each(Object.entries(CASES))('%s', (_name, [set, source, expected, order]) => {
    itDeliversEachOnce({ config: (workers) => config(set, source, workers), expected, order }, 2);
  });
});
