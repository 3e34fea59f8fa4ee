/** What the two forms of `headrace index` have in common: how far they are and what is written, on standard error and output, or as JSON lines; and an end by signal. */
import { runInterruptible } from './interruption.js';

interface IndexingProgress<Facts> {
  readonly update: (progress: Facts) => void;
  clear(): void;
  stop(): void;
}

export interface IndexingRun<Facts> {
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly onProgress: (progress: Facts) => void;
  /** Says what was written since the last time: as JSON with `ms`, or as a line. */
  readonly written: (what: object, lineOf: (ms: number) => string) => void;
}

/** Returns the exit status: 0, or 128 + its number after a signal. Errors: those of `run`. */
export function runIndexing<Facts>(
  json: boolean,
  progressLine: (progress: Facts) => string,
  run: (indexing: IndexingRun<Facts>) => Promise<void>,
): Promise<number> {
  return runInterruptible(async (signal) => {
    const progress = showIndexing(json, progressLine);
    let started = performance.now();
    const written: IndexingRun<Facts>['written'] = (what, lineOf) => {
      const ms = performance.now() - started;
      progress.clear();
      process.stdout.write(`${json ? JSON.stringify({ ...what, ms: Math.round(ms) }) : lineOf(ms)}\n`);
      started = performance.now();
    };
    const warn = (message: string): void => void process.stderr.write(`${message}\n`);
    try {
      await run({ signal, warn, onProgress: progress.update, written });
    } finally {
      progress.stop();
    }
  });
}

/** A terminal's line is rewritten once a second; a log gets a line every ten. */
const TERMINAL_INTERVAL_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;
const CLEAR_LINE = '\r\u001b[2K';

function showIndexing<Facts>(json: boolean, lineOf: (progress: Facts) => string): IndexingProgress<Facts> {
  const terminal = !json && process.stderr.isTTY;
  let latest: Facts | undefined;
  const show = (): void => {
    if (latest === undefined) return;
    if (json) process.stdout.write(`${JSON.stringify(latest)}\n`);
    else process.stderr.write(terminal ? CLEAR_LINE + lineOf(latest) : `${lineOf(latest)}\n`);
  };
  const timer = setInterval(show, terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS);
  const clear = (): void => {
    latest = undefined;
    if (terminal) process.stderr.write(CLEAR_LINE);
  };
  return {
    update: (progress) => (latest = progress),
    clear,
    stop: () => {
      clearInterval(timer);
      clear();
    },
  };
}
