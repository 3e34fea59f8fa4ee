/**
 * Where the files of the cache are:
 *
 *   DIR/entries/ab/abcdef…-1k2j     one a byte range or tokenized slice; 256 directories, so that a million entries are 4,000 names each
 *   DIR/temporary/HOST.PID.UUID     being written; renamed to an entry
 *   DIR/claims/abcdef…-1k2j         a link: somebody fetches this entry
 *
 * All three are on one file system, so that the rename is atomic. There is no index to write or to lose: names say bytes, so a listing is one.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';
import { unlessMissing, type Disk } from './disk.js';
import { bytesOfName } from './entry.js';
import { CACHE_LIMITS } from './limits.js';

/** The part of `cache.dir` where byte ranges and tokenized slices are. */
export function rangesDir(cacheDir: string): string {
  return path.join(cacheDir, 'ranges');
}

/** The part of `cache.dir` where the compiled forms of tokenizers are, laid out likewise. */
export function tokenizersDir(cacheDir: string): string {
  return path.join(cacheDir, 'tokenizers');
}

export function entryFile(dir: string, name: string): string {
  return path.join(dir, 'entries', name.slice(0, 2), name);
}

export function claimsDir(dir: string): string {
  return path.join(dir, 'claims');
}

export function temporaryDir(dir: string): string {
  return path.join(dir, 'temporary');
}

export function temporaryFile(dir: string): string {
  return path.join(temporaryDir(dir), `${hostname()}.${process.pid}.${randomUUID()}`);
}

export interface NamedEntry {
  readonly name: string;
  readonly fileBytes: number;
}

/** Every entry, a directory at a time; no file is looked at. Errors: those of the disk. */
export async function* listEntries(disk: Disk, dir: string): AsyncGenerator<readonly NamedEntry[], void> {
  const shelves = (await unlessMissing(disk.names(path.join(dir, 'entries')))) ?? [];
  for (const shelf of shelves) yield entriesNamed(disk, dir, shelf);
}

/** The entries whose names start with `start`, of two digits or more: one listing of one directory. Errors: those of the disk. */
export async function entriesNamed(disk: Disk, dir: string, start: string): Promise<readonly NamedEntry[]> {
  const names = (await unlessMissing(disk.names(path.join(dir, 'entries', start.slice(0, 2))))) ?? [];
  const entries: NamedEntry[] = [];
  for (const name of names) {
    const fileBytes = name.startsWith(start) ? bytesOfName(name) : undefined;
    if (fileBytes !== undefined) entries.push({ name, fileBytes });
  }
  return entries;
}

/** Deletes what processes left that ended in the middle: what is of dead ones of this machine, and whatever is silent for a lease. */
export async function sweep(disk: Disk, dir: string): Promise<void> {
  for (const name of (await unlessMissing(disk.names(temporaryDir(dir)))) ?? []) {
    const file = path.join(temporaryDir(dir), name);
    const [, host, pid] = /^(.*)\.(\d+)\.[0-9a-f-]+$/.exec(name) ?? [];
    if (isDead(host, Number(pid)) || (await isSilent(disk, file))) await unlessMissing(disk.remove(file));
  }
  for (const name of (await unlessMissing(disk.names(claimsDir(dir)))) ?? []) {
    const file = path.join(claimsDir(dir), name);
    if (await isAbandoned(disk, file)) await unlessMissing(disk.remove(file));
  }
}

/** Whether the owner of a claim ended, or is silent. */
export async function isAbandoned(disk: Disk, file: string): Promise<boolean> {
  const [host, pid] = ((await unlessMissing(disk.readLink(file))) ?? '').split(' ');
  return isDead(host, Number(pid)) || isSilent(disk, file);
}

/** Whether the process ended, as far as this machine can say. */
function isDead(host: string | undefined, pid: number): boolean {
  if (host !== hostname() || !Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'; // EPERM: another user's, and alive
  }
}

/** Whether a file or link was neither written nor touched for a lease. */
async function isSilent(disk: Disk, file: string): Promise<boolean> {
  const modifiedMs = await unlessMissing(disk.modifiedMs(file));
  return modifiedMs !== undefined && Date.now() - modifiedMs > CACHE_LIMITS.leaseMs;
}
