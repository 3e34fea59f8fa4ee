import { loadTokenizer, showStep, type ConfigInput } from 'headrace';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itDeliversEachOnce, paddedDocuments, type Delivery } from '../support/deliveries.js';
import { placeOf, sampleRowsOf } from '../support/samples.js';
import { runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/datasets/', import.meta.url));

type Source = ConfigInput['sources'][string];

/** As `datasets` reads it, bytes in hex. */
interface Row {
  readonly id: string;
  readonly text: string;
  readonly long_text: string;
  readonly input_ids: readonly number[];
  readonly wide_ids: readonly number[];
  readonly label: number;
  readonly emb: readonly number[];
  readonly score: number;
  readonly meta: { readonly lang: string; readonly stars: number | null };
  readonly spans: { readonly start: readonly number[] };
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly image: { readonly bytes: string };
}

/** What Hugging Face `datasets` wrote, as directories that are named and no more: its own notes beside the shards are nobody's data. */
describe('a corpus that `datasets` wrote', () => {
  let workspace: Workspace;
  /** By directory and shard. */
  let reference: Readonly<Record<string, readonly (readonly Row[])[]>>;
  let textIds: (text: string) => readonly number[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    reference = JSON.parse(await readFile(`${FIXTURES}rows.json`, 'utf8')) as typeof reference;
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    textIds = (text) => [...tokenizer.encode(text)];
  });
  afterAll(() => workspace.remove());

  const config = (directory: string, source: Partial<Source>, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 11,
      sources: { s: { uri: `${FIXTURES}${directory}/`, ...source } },
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { length: 256, packing: 'pad', padId: 0 },
      batch: { size: 2, lanes: 2 },
      ...changes,
    });

  interface Case extends Pick<Delivery, 'order'> {
    readonly directory: string;
    readonly source: Partial<Source>;
    readonly ids: (row: Row) => readonly number[];
  }

  const CASES: Readonly<Record<string, Case>> = {
    'text of Parquet': {
      directory: 'parquet',
      source: {},
      ids: ({ text }) => textIds(text),
      order: 'de0b89fd18db1ba4be892cc4cd1926a78aa20a882eaee10deefe420df6ca6a34',
    },
    'ids of Parquet': {
      directory: 'parquet',
      source: { tokens: 'spans.start' },
      ids: ({ spans }) => spans.start,
      order: 'bd9f44d051518d16f233914ed7c825fa27137e6cf98ad9d332f0b31fe0586de0',
    },
    'text of a saved data set': {
      directory: 'saved',
      source: { text: 'long_text' },
      ids: (row) => textIds(row.long_text),
      order: '6347d94e4c931d73dd36125f88348da8721bfd4990a9fb0ee5d62aedc3165549',
    },
    'ids of a saved data set': {
      directory: 'saved',
      source: { tokens: 'wide_ids' },
      ids: (row) => row.wide_ids,
      order: '048a0d4da9fa88f6888cea9fcae60b339921eeadee5b4c7594141880280c3e89',
    },
    'ids of all splits': {
      directory: 'split',
      source: { tokens: 'input_ids' },
      ids: (row) => row.input_ids,
      order: '3ae0a300b4ca35de8c01a7d85564f243d60f6cb57e142e67bf9145413e142c95',
    },
    // `.json` beside the shards is data to a source that is named so, but for what describes it
    'text of JSON lines': {
      directory: 'json',
      source: { format: 'jsonl', text: 'text' },
      ids: ({ text }) => textIds(text),
      order: '7d676e2e9b859167fba950ec031e3d80e811333f29613b0ee701b91a55e482a6',
    },
  };

  describe.each(Object.entries(CASES))('%s', (_name, { directory, source, ids, order }) => {
    const delivery = {
      config: (workers: number) => config(directory, source, { limits: { workers } }),
      expected: () => reference[directory].flat().map(ids),
      order,
    };
    itDeliversEachOnce(delivery, 2);
  });

  it.each(['parquet', 'saved', 'split', 'json'])('samples of %s have what is in their rows, by a filter on others', async (directory) => {
    const fields: Source['fields'] = {
      label: { column: 'label', type: 'int64' },
      emb: { column: 'emb', size: 3, type: 'float32' },
      score: { column: 'score', type: 'float64' },
      lang: 'meta.lang',
      ...(directory !== 'json' && { image: 'image.bytes' }),
    };
    const where = { 'meta.stars': { gte: 2 }, label: { not: 1 } };
    const { batches } = await runPipeline(config(directory, { fields, where }, { tokenizer: undefined, sequence: 'none' }));
    const found = new Map(batches.flatMap(sampleRowsOf).map((row) => [placeOf(row), row.fields]));
    const base64 = (values: ArrayBufferView): string => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
    const expected = reference[directory].flatMap((rows, shard) =>
      rows.flatMap(({ label, emb, score, meta, image }, row) => {
        if (meta.stars === null || meta.stars < 2 || label === 1) return [];
        const own = {
          label: base64(BigInt64Array.of(BigInt(label))),
          emb: base64(Float32Array.from(emb)),
          score: base64(Float64Array.of(score)),
          lang: base64(Buffer.from(meta.lang)),
          ...(directory !== 'json' && { image: base64(Buffer.from(image.bytes, 'hex')) }),
        };
        return [[placeOf({ shard, row }), own] as const];
      }),
    );
    expect(expected.length).toBeGreaterThan(8);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
  });

  it.each(['parquet', 'saved', 'json'])('chats of %s are rendered message by message', async (directory) => {
    const template = '{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}';
    const { batches } = await runPipeline(config(directory, { messages: 'messages', template, loss: 'all' }));
    const rendered = reference[directory].flat().map(({ messages }) => messages.map(({ role, content }) => `<${role}>${content}`).join(''));
    expect(paddedDocuments(batches).sort()).toEqual(rendered.map((text) => String(textIds(text))).sort());
  });

  it('rows go by their ids', async () => {
    const { slots } = await showStep(config('saved', { id: 'id' }), { step: 3 });
    for (const { segments } of slots) {
      for (const { shard, row, id } of segments) {
        const at = Number(/^data-0000(\d)-of-00003\.arrow$/.exec(shard)![1]);
        expect(id).toBe(reference.saved[at][row].id);
      }
    }
  });
});
