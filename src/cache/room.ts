/** How many bytes the cache may hold, as the disk is now. */
import path from 'node:path';
import { unlessMissing, type Disk } from './disk.js';
import { listEntries } from './layout.js';
import { CACHE_LIMITS } from './limits.js';

/** `bytesMax`, or less where the disk is fuller: what is kept already, and what is free beyond the share of others. Errors: those of the disk. */
export async function cacheRoomBytes(disk: Disk, dir: string, bytesMax: number): Promise<number> {
  let keptBytes = 0;
  for await (const entries of listEntries(disk, dir)) keptBytes += entries.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  const { freeBytes, totalBytes } = await spaceAbove(disk, dir);
  return Math.max(0, Math.min(bytesMax, keptBytes + freeBytes - Math.ceil(CACHE_LIMITS.freeShareMin * totalBytes)));
}

/** Of the nearest directory that exists: the cache's own is made when it is first written to. */
async function spaceAbove(disk: Disk, dir: string): ReturnType<Disk['space']> {
  const space = await unlessMissing(disk.space(dir));
  return space ?? spaceAbove(disk, path.dirname(dir));
}
