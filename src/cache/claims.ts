/**
 * Who fetches what, among the processes of one machine. A claim is a symbolic link that names its owner: making one is as exclusive as O_EXCL, and
 * it never stands without its owner's name, as a file would after a crash between making and writing it (Emacs locks files so). It is touched while
 * its owner lives. A claim saves a second fetch, and nothing else: entries are right without it. So two processes that take over a dead one's
 * claim in the same instant may both have it.
 */
import { hostname } from 'node:os';
import path from 'node:path';
import { diskCode, unlessMissing, type Disk } from './disk.js';
import { claimsDir, isAbandoned } from './layout.js';
import { CACHE_LIMITS } from './limits.js';

export interface Claim {
  release(): Promise<void>;
}

export interface Claims {
  /** Undefined while somebody else has it. Errors: those of the disk. */
  take(name: string): Promise<Claim | undefined>;
  /** Stops the signs of life. */
  close(): void;
}

export function createClaims(disk: Disk, dir: string): Claims {
  const held = new Set<string>();
  let heartbeat: NodeJS.Timeout | undefined;

  const beat = (): void => {
    // a claim that cannot be touched runs out: then an entry is fetched twice
    for (const file of held) disk.touch(file).catch(() => undefined);
  };
  const hold = (file: string): Claim => {
    held.add(file);
    heartbeat ??= setInterval(beat, CACHE_LIMITS.heartbeatMs).unref();
    return {
      release: async () => {
        held.delete(file);
        if (held.size === 0) stop();
        await unlessMissing(disk.remove(file));
      },
    };
  };
  const stop = (): void => {
    clearInterval(heartbeat);
    heartbeat = undefined;
  };
  return {
    take: async (name) => {
      const file = path.join(claimsDir(dir), name);
      if (await create(disk, file)) return hold(file);
      if (!(await isAbandoned(disk, file))) return undefined;
      await unlessMissing(disk.remove(file));
      return (await create(disk, file)) ? hold(file) : undefined;
    },
    close: stop,
  };
}

/** Whether this call made it. */
async function create(disk: Disk, file: string): Promise<boolean> {
  try {
    await disk.makeLink(`${hostname()} ${process.pid}`, file);
    return true;
  } catch (error) {
    if (diskCode(error) === 'EEXIST') return false;
    throw error;
  }
}
