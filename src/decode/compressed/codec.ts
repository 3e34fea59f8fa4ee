/** How the content of an object is stored, by the ending of its name. */

export type ContentCodec = 'plain' | 'gzip' | 'zstd';

const ENDINGS = { '.gz': 'gzip', '.tgz': 'gzip', '.bgz': 'gzip', '.zst': 'zstd', '.zstd': 'zstd' } as const satisfies Readonly<
  Record<string, ContentCodec>
>;

export function codecOfPath(path: string): ContentCodec {
  return Object.entries(ENDINGS).find(([ending]) => path.endsWith(ending))?.[1] ?? 'plain';
}
