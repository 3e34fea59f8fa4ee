/** What belongs to shards without being one: an object that says what they are made of, or holds their bytes. Where it changes, they are not known any more. */
import { LIMITS } from '../config/limits.js';
import { companionOf, type FormatName } from '../core/format.js';
import { mapConcurrent } from '../core/map-concurrent.js';
import type { ListedObject } from './list-shards.js';

/** ETags, by root and path. */
export type CompanionVersions = Readonly<Record<string, string>>;

/** As they are now: those of many shards are asked for once. Errors: those of `Store.head`. */
export async function companionVersions(
  listed: readonly ListedObject[],
  format: FormatName,
  signal: AbortSignal | undefined,
): Promise<CompanionVersions> {
  const found = new Map<string, Pick<ListedObject, 'store'> & { readonly path: string }>();
  for (const item of listed) {
    const path = companionOf(item.object.path, format);
    if (path !== undefined) found.set(keyOf(item, path), { store: item.store, path });
  }
  const versions = await mapConcurrent(
    [...found],
    LIMITS.footerConcurrencyMax,
    async ([key, { store, path }], _index, own) => [key, (await store.head(path, { signal: own })).etag] as const,
    signal,
  );
  return Object.fromEntries(versions);
}

/** Whether what belongs to a shard has the same version in both. */
export function hasSameCompanion(item: ListedObject, format: FormatName, a: CompanionVersions, b: CompanionVersions): boolean {
  const path = companionOf(item.object.path, format);
  if (path === undefined) return true;
  const key = keyOf(item, path);
  return a[key] === b[key];
}

function keyOf({ root }: ListedObject, path: string): string {
  return `${root}:${path}`;
}
