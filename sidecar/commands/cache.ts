/** `headrace cache ls|stats|verify|clear`: what the local cache holds, whether it is whole, and an empty one. Sidecars may use it meanwhile. */
import { homedir } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { localDisk, unlessMissing } from '../../src/cache/disk.js';
import { readFacts, verifyEntry } from '../../src/cache/entry.js';
import { CACHE_LIMITS } from '../../src/cache/limits.js';
import { entryFile, listEntries, rangesDir, type NamedEntry } from '../../src/cache/layout.js';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import { mapConcurrent } from '../../src/core/map-concurrent.js';
import { formatSize } from '../../src/core/quantity.js';

export type CacheAction = 'ls' | 'stats' | 'verify' | 'clear';

export interface CacheOptions {
  readonly action: CacheAction;
  /** `cache.dir` of the configuration; the default of that without. */
  readonly dir: string | undefined;
  /** One JSON value a line. */
  readonly json: boolean;
}

/** Returns the exit status: 1 where `verify` found damage. Errors: `CONFIG_INVALID` (the directory cannot be read or written). */
export async function cache(options: CacheOptions): Promise<number> {
  const dir = rangesDir(path.resolve(options.dir ?? path.join(homedir(), '.cache', 'headrace')));
  const print = (facts: Readonly<Record<string, string | number | null>>, line: string): void =>
    void process.stdout.write(`${options.json ? JSON.stringify(facts) : line}\n`);
  try {
    switch (options.action) {
      case 'ls':
        await eachEntry(dir, async (entry) => {
          const facts = await describe(dir, entry);
          if (facts !== undefined) print({ ...facts }, listLine(facts));
        });
        return 0;
      case 'stats': {
        const { entries, bytes } = await eachEntry(dir, () => Promise.resolve());
        const { freeBytes, totalBytes } = (await unlessMissing(localDisk.space(dir))) ?? { freeBytes: null, totalBytes: null };
        const disk = freeBytes === null ? '' : ` · ${formatSize(freeBytes)} of ${formatSize(totalBytes)} of the disk are free`;
        print({ dir, entries, bytes, freeBytes, totalBytes }, `${dir}: ${entries} entries · ${formatSize(bytes)}${disk}`);
        return 0;
      }
      case 'verify': {
        const damaged: string[] = [];
        const { entries, bytes } = await eachEntry(dir, async ({ name }) => {
          const file = entryFile(dir, name);
          if ((await verifyEntry(localDisk, file, name)) === 'damaged') damaged.push(file);
        });
        for (const file of damaged) print({ damaged: file }, `damaged: ${file}`);
        print(
          { dir, entries, bytes, damaged: damaged.length },
          `${dir}: ${entries} entries · ${formatSize(bytes)} · ${damaged.length} damaged`,
        );
        return damaged.length === 0 ? 0 : 1;
      }
      case 'clear': {
        const { entries, bytes } = await eachEntry(dir, async ({ name }) => {
          await unlessMissing(localDisk.remove(entryFile(dir, name)));
        });
        print({ dir, entries, bytes }, `${dir}: ${entries} entries deleted · ${formatSize(bytes)}`);
        return 0;
      }
    }
  } catch (error) {
    throw new HeadraceError('CONFIG_INVALID', `the cache in ${dir} cannot be used: ${messageOf(error)}`, {
      detail: { dir },
      hint: 'Check the directory and what this user may do there; --dir is what cache.dir says in the configuration.',
      cause: error,
    });
  }
}

async function eachEntry(
  dir: string,
  visit: (entry: NamedEntry) => Promise<void>,
): Promise<{ readonly entries: number; readonly bytes: number }> {
  let [count, bytes] = [0, 0];
  for await (const entries of listEntries(localDisk, dir)) {
    await mapConcurrent(entries, CACHE_LIMITS.deletionsMax, visit);
    count += entries.length;
    bytes += entries.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  }
  return { entries: count, bytes };
}

interface ObjectFacts {
  readonly uri: string;
  readonly etag: string;
  readonly fileBytes: number;
}

/** A range of the object's bytes, or the tokens of a range of its rows. */
type EntryFacts = ObjectFacts &
  ({ readonly startByte: number; readonly endByte: number } | { readonly startRow: number; readonly endRow: number });

/** As `withCache` makes keys: origin, store, path, ETag. */
const keySchema = z.tuple([z.string(), z.string(), z.string(), z.string()]);
/** As `createTokenLookup` makes keys: URI, ETag, rows, and what else the tokens depend on. */
const tokensKeySchema = z.tuple([z.literal('tokens'), z.string(), z.string(), z.int(), z.int()]).rest(z.unknown());

/** Undefined where the entry is gone meanwhile. */
async function describe(dir: string, { name, fileBytes }: NamedEntry): Promise<EntryFacts | undefined> {
  const file = entryFile(dir, name);
  const found = await unlessMissing(readFacts(localDisk, file));
  if (found === undefined) return undefined;
  if (found === 'other') return { uri: `of another version of headrace: ${file}`, etag: '', startByte: 0, endByte: 0, fileBytes };
  const key = found === 'damaged' ? undefined : parseJson(found.key);
  const tokens = tokensKeySchema.safeParse(key);
  if (tokens.success) {
    const [, uri, etag, startRow, endRow] = tokens.data;
    return { uri, etag, startRow, endRow, fileBytes };
  }
  const parsed = keySchema.safeParse(key);
  if (found === 'damaged' || !parsed.success) return { uri: `damaged: ${file}`, etag: '', startByte: 0, endByte: 0, fileBytes };
  const [, store, objectPath, etag] = parsed.data;
  const { startByte, dataBytes } = found;
  return { uri: store + objectPath, etag, startByte, endByte: startByte + dataBytes, fileBytes };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // damaged: the schema says so
  }
}

function listLine(facts: EntryFacts): string {
  const { uri, etag, fileBytes } = facts;
  const range = 'startRow' in facts ? `tokens of rows ${facts.startRow}–${facts.endRow}` : `${facts.startByte}–${facts.endByte}`;
  return `${formatSize(fileBytes).padStart(10)}  ${uri}  ${range}  ${etag}`;
}
