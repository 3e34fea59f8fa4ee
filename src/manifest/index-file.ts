/** Reads and writes the files that `headrace index` makes, whole. */
import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LIMITS } from '../config/limits.js';
import type { Store } from '../store/store.js';
import { makeDirectory } from '../files/make-directory.js';

/** `tooLarge` makes the error of a file that is more than is read. Errors: those of `Store.head` and `Store.read`. */
export async function readIndexFile(
  store: Store,
  file: string,
  tooLarge: (problem: string) => Error,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const { size, etag } = await store.head(file, signal && { signal });
  if (size > LIMITS.indexBytesMax) throw tooLarge(`it has ${size} bytes, and at most ${LIMITS.indexBytesMax} are read`);
  const bytes = new Uint8Array(size);
  for (let startByte = 0; startByte < size; startByte += LIMITS.indexReadBytes) {
    const range = { startByte, endByte: Math.min(size, startByte + LIMITS.indexReadBytes) };
    const into = bytes.subarray(range.startByte, range.endByte);
    const read = await store.read(file, range, { ifMatch: etag, into, ...(signal && { signal }) });
    if (read !== into) into.set(read);
  }
  return bytes;
}

/** Written under a temporary name and renamed: a reader sees the old file or the new one, never a part. */
export async function writeIndexFile(file: string, parts: Iterable<Uint8Array>): Promise<void> {
  await makeDirectory(path.dirname(file));
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, parts);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
