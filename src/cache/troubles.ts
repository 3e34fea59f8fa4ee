/** What to do when the disk fails: say so once a kind, and leave it alone for a while. */
import type { Clock } from '../core/clock.js';
import { messageOf } from '../core/errors.js';
import { diskCode } from './disk.js';
import { CACHE_LIMITS } from './limits.js';

export type Warn = (message: string, detail: Readonly<Record<string, string | number>>) => void;

export interface Troubles {
  /** Nothing is to be written now. */
  readonly writesPaused: boolean;
  /** Nothing is to be read now, either: the disk does not answer. */
  readonly readsPaused: boolean;
  /** Pauses writes. */
  writeFailed(error: unknown): void;
  /** One file that cannot be read says nothing of the others. */
  readFailed(error: unknown): void;
  /** Pauses everything. */
  stalled(): void;
  /** Something to know that asks for no pause. */
  noticed(kind: string, message: string): void;
}

export function createTroubles(dir: string, clock: Clock, warn: Warn): Troubles {
  const told = new Set<string>();
  let writesPausedUntil = -Infinity;
  let readsPausedUntil = -Infinity;
  const tell = (kind: string, message: string): void => {
    if (told.has(kind)) return;
    told.add(kind);
    warn(message, { dir, kind });
  };
  const pause = (): number => clock.now() + CACHE_LIMITS.pauseMs;
  return {
    get writesPaused() {
      return clock.now() < writesPausedUntil;
    },
    get readsPaused() {
      return clock.now() < readsPausedUntil;
    },
    writeFailed: (error) => {
      writesPausedUntil = pause();
      tell(
        `write ${diskCode(error) ?? 'failed'}`,
        `the cache cannot be written (${messageOf(error)}): what is not in it comes from the store`,
      );
    },
    readFailed: (error) =>
      tell(`read ${diskCode(error) ?? 'failed'}`, `an entry of the cache cannot be read (${messageOf(error)}): it comes from the store`),
    stalled: () => {
      writesPausedUntil = readsPausedUntil = pause();
      tell('stalled', `the disk of the cache gave nothing for ${CACHE_LIMITS.readTimeoutMs} ms: bytes come from the store meanwhile`);
    },
    noticed: tell,
  };
}
