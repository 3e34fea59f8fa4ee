/** Samples as tests look at them: the fields of each row of a batch, as they are on the wire. */
import type { Batch, ConfigInput } from 'headrace';
import { fieldBytesOfRow } from '../../src/core/fields.js';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { smallConfig, type Workspace } from './workspace.js';

/** Of the corpus of samples in Parquet: every kind of field that pyarrow writes. */
export const SAMPLE_FIELDS = {
  image: 'jpg',
  caption: 'txt',
  emb: 'emb',
  half: { column: 'half', size: 2 },
  double: 'double',
  score: 'score',
  label: 'label',
  big: 'big',
  seen: 'seen',
  ok: 'ok',
  nested: 'nested.bytes',
};

export interface SampleRow {
  readonly shard: number;
  readonly row: number;
  /** In base64. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Without padding. */
export function sampleRowsOf({ rows, cuSeqlens, segments, length, fields = {} }: Batch): SampleRow[] {
  return Array.from({ length: rows }, (_, at) => {
    const [source, shard, row] = segments.subarray(SEGMENT_FIELDS * cuSeqlens.indexOf(at * length));
    const own = Object.entries(fields).map(([name, field]) => [name, Buffer.from(fieldBytesOfRow(field, at)).toString('base64')]);
    return { source, shard, row, fields: Object.fromEntries(own) as SampleRow['fields'] };
  })
    .filter(({ source }) => source !== SOURCE_PADDING)
    .map(({ shard, row, fields: values }) => ({ shard, row, fields: values }));
}

export const placeOf = ({ shard, row }: Pick<SampleRow, 'shard' | 'row'>): string => `${shard}:${row}`;

/** Samples without tokens, of `data/` in a workspace. */
export function samplesConfig(
  workspace: Workspace,
  source: Partial<ConfigInput['sources'][string]>,
  changes: Partial<ConfigInput> = {},
): ConfigInput {
  return smallConfig(workspace, {
    sources: { pairs: { uri: workspace.path('data/'), ...source } },
    tokenizer: undefined,
    sequence: 'none',
    shuffle: { windowBytes: '64KiB' },
    limits: { workers: 2 },
    ...changes,
  });
}

/** What is served of the samples that `tar_samples.py` writes. */
export const TAR_SAMPLE_FIELDS = {
  image: 'jpg;png',
  caption: 'txt',
  label: 'cls',
  emb: { column: 'emb.npy', size: 8 },
  ids: { column: 'ids.npy', size: 5, type: 'int64' },
  scalar: { column: 'scalar.npy', type: 'float64' },
  score: { column: 'json.score', type: 'float32' },
  width: { column: 'json.width', type: 'int32' },
  safe: { column: 'json.safe', type: 'uint8' },
  uid: { column: 'json.uid', type: 'int64' },
  list: { column: 'json.emb', type: 'float32', size: 3 },
  title: 'json.meta.title',
  key: '__key__',
} as const;
