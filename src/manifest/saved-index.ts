/** Shard indexes kept between runs in the cache directory, so that a second start on unchanged data reads no footer. A lost or damaged file costs time, never truth. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { JsonValue } from '../core/canonical-json.js';
import type { Shard } from '../core/shard.js';

/** What is known of an object of a certain version. */
export type IndexedObject = Pick<Shard, 'size' | 'etag' | 'contentId' | 'rows' | 'units' | 'layout'>;

/** By URI. */
export type SavedIndex = ReadonlyMap<string, IndexedObject>;

const json = z.json() as z.ZodType<JsonValue>;
const count = z.int().min(0);
const unitSchema = z.object({ startRow: count, rows: count, decodedBytes: count, storedBytes: count, layout: json });
const objectSchema = z.object({
  size: count,
  etag: z.string(),
  contentId: z.string(),
  rows: count,
  units: z.array(unitSchema),
  layout: json,
});
/** Raise the number when the content of `layout` changes its meaning: older files are then ignored. */
const fileSchema = z.object({ version: z.literal(1), objects: z.record(z.string(), objectSchema) });

/** Where the index of a source is kept: by what was asked for, not by the configuration's other keys. */
export function savedIndexPath(cacheDir: string, request: readonly string[]): string {
  const name = createHash('sha256').update(JSON.stringify(request)).digest('hex').slice(0, 32);
  return path.join(cacheDir, 'manifests', `${name}.json`);
}

/** Empty where nothing usable is saved; `problem` says why, unless there simply is no file. */
export async function loadSavedIndex(file: string): Promise<{ readonly index: SavedIndex; readonly problem?: string }> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return { index: new Map(), ...(!missing && { problem: String(error) }) };
  }
  try {
    const parsed = fileSchema.parse(JSON.parse(text));
    return { index: new Map(Object.entries(parsed.objects)) };
  } catch (error) {
    return { index: new Map(), problem: error instanceof SyntaxError ? error.message : 'not an index of this version' };
  }
}

/** Written under a temporary name and renamed: a reader sees the old file or the new one, never a part. */
export async function saveIndex(file: string, index: SavedIndex): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, JSON.stringify({ version: 1, objects: Object.fromEntries(index) }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
