/** How far `headrace index` is, on standard error, or as JSON lines on standard output. */

export interface IndexingProgress<Facts> {
  readonly update: (progress: Facts) => void;
  clear(): void;
  stop(): void;
}

/** A terminal's line is rewritten once a second; a log gets a line every ten. */
const TERMINAL_INTERVAL_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;
const CLEAR_LINE = '\r\u001b[2K';

export function showIndexing<Facts>(json: boolean, lineOf: (progress: Facts) => string): IndexingProgress<Facts> {
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
