/** The formats of shards, and the endings that objects of each go by. */

const COMPRESSED_ENDINGS = ['.gz', '.bgz', '.zst'];

/** In the order in which they are looked for below a prefix: what holds data before what may describe it. */
export const FORMATS = {
  parquet: ['.parquet'],
  webdataset: [...compressed('.tar'), '.tgz'],
  arrow: ['.arrow', '.arrows', '.feather', '.ipc'],
  // the last three are refused by name
  mds: ['.mds', '.mds.zstd', '.mds.gz', '.mds.br', '.mds.bz2', '.mds.snappy'],
  npy: ['.npy'],
  megatron: ['.idx'],
  tokens: ['.bin'],
  /** Named only: its chunks are called as files of token ids are. */
  litdata: [],
  jsonl: compressed('.jsonl', '.ndjson'),
  csv: compressed('.csv', '.tsv'),
  text: compressed('.txt', '.md'),
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** What a source's objects may end with where its format is named: below a prefix, such objects are as often a table of contents. */
const ENDINGS_WHEN_NAMED: Partial<Record<string, readonly string[]>> = { jsonl: compressed('.json'), litdata: ['.bin'] };

/** What `datasets` and its hub describe shards with, beside these: no data, whatever a source takes of other `.json` there. */
const DESCRIPTIONS = ['dataset_info.json', 'dataset_infos.json', 'dataset_dict.json'];

export type FormatName = keyof typeof FORMATS;

export const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[];

/** Their objects hold token ids and nothing else: there is no column to name. */
export const COLUMNLESS_FORMATS: readonly FormatName[] = ['npy', 'megatron', 'tokens'];

/** Endings of objects that belong to those of a format, and are no shards themselves. */
const COMPANIONS: Readonly<Partial<Record<FormatName, string>>> = { megatron: '.bin' };

export function isCompanion(path: string, format: FormatName): boolean {
  const ending = COMPANIONS[format];
  return ending !== undefined && path.endsWith(ending);
}

/** The object that a shard cannot be read without: the index of its directory, or the other half of a pair. */
export function companionOf(path: string, format: FormatName): string | undefined {
  switch (format) {
    case 'litdata':
      return `${path.slice(0, path.lastIndexOf('/') + 1)}index.json`;
    case 'megatron':
      return path.endsWith('.idx') ? path.replace(/\.idx$/, '.bin') : `${path.replace(/\.bin$/, '')}.idx`;
    default:
      return undefined;
  }
}

/** The same shard, decompressed: what a reader of MDS leaves beside the one that it has fetched. */
export function decompressedName(path: string): string | undefined {
  return hasFormat(path, 'mds') && !path.endsWith('.mds') ? path.slice(0, path.lastIndexOf('.')) : undefined;
}

/** What a writer of MDS puts beside its shards: it names their directory. */
export function directoryOfIndex(path: string, format: FormatName | undefined): string | undefined {
  return format === 'mds' ? /^(.*\/|)index\.json$/.exec(path)?.[1] : undefined;
}

/** Those that objects below a prefix may have where none is named: loose texts there are as often notes about the data. */
export const FORMATS_OF_PREFIXES: readonly FormatName[] = FORMAT_NAMES.filter((name) => name !== 'text');

/** Of manifests that name none: they are older than the other formats. */
export const UNNAMED_FORMAT: FormatName = FORMAT_NAMES[0];

/** Each ending begins with a dot: a path's format is told by what follows the first one of so many last characters, which are ASCII. */
export const ENDING_LENGTH_MAX = Math.max(...FORMAT_NAMES.flatMap((name) => FORMATS[name].map((ending) => ending.length)));

/** By its ending; `undefined` where no format has it. */
export function formatOfPath(path: string): FormatName | undefined {
  return FORMAT_NAMES.find((name) => hasFormat(path, name));
}

/** Whether an object below a prefix is meant by a source that names its format. */
export function mayHaveFormat(path: string, format: FormatName): boolean {
  return endingsWhenNamed(format).some((ending) => path.endsWith(ending)) && !DESCRIPTIONS.includes(path.slice(path.lastIndexOf('/') + 1));
}

/** What is listed of a source that names its format. */
export function endingsWhenNamed(format: FormatName): readonly string[] {
  return [...FORMATS[format], ...(ENDINGS_WHEN_NAMED[format] ?? [])];
}

export function hasFormat(path: string, format: FormatName): boolean {
  return FORMATS[format].some((ending) => path.endsWith(ending));
}

/** Endings, and the same of objects that are compressed as a whole. */
function compressed(...endings: readonly string[]): string[] {
  return endings.flatMap((ending) => [ending, ...COMPRESSED_ENDINGS.map((own) => ending + own)]);
}
