/** SIGINT and SIGTERM as an AbortSignal, for commands that end by themselves. */
import { constants } from 'node:os';
import { HeadraceError } from '../src/core/errors.js';

export interface Interruption {
  readonly signal: AbortSignal;
  /** 128 + the number of the signal that came. */
  readonly exitStatus: number;
  /** Signals end the process again. */
  end(): void;
}

/** Returns the exit status: 0, or 128 + its number after a signal, whatever the run then failed with. Errors: those of `run`. */
export async function runInterruptible(run: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const interruption = listenForInterruption();
  try {
    await run(interruption.signal);
    return 0;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    return interruption.exitStatus;
  } finally {
    interruption.end();
  }
}

export function listenForInterruption(): Interruption {
  const interrupted = new AbortController();
  let number = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    number = constants.signals[signal];
    interrupted.abort(new HeadraceError('ABORTED', `interrupted by ${signal}`));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: interrupted.signal,
    get exitStatus() {
      return 128 + number;
    },
    end: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
