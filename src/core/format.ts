/** The formats of shards, and the endings that objects of each go by. */

/** In the order in which they are looked for below a prefix: what holds data before what may describe it. */
export const FORMATS = {
  parquet: ['.parquet'],
  webdataset: ['.tar'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type FormatName = keyof typeof FORMATS;

export const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[];

/** Of manifests that name none: they are older than the other formats. */
export const UNNAMED_FORMAT: FormatName = FORMAT_NAMES[0];

/** By its ending; `undefined` where no format has it. */
export function formatOfPath(path: string): FormatName | undefined {
  return FORMAT_NAMES.find((name) => hasFormat(path, name));
}

export function hasFormat(path: string, format: FormatName): boolean {
  return FORMATS[format].some((ending) => path.endsWith(ending));
}
