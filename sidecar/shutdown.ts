/** When to end: on SIGTERM or SIGINT, or when whoever started this process is gone. The second signal does not wait. */

export interface ShutdownRequest {
  readonly reason: string;
}

export interface Shutdown {
  /** Resolves with the first reason to end. */
  readonly requested: Promise<ShutdownRequest>;
  /** Resolves with the second: leave at once. */
  readonly insisted: Promise<void>;
}

/** `withStdin`: end when standard input ends, as it does when the parent process dies, however it dies. */
export function watchShutdown(withStdin: boolean): Shutdown {
  let onFirst: (request: ShutdownRequest) => void = () => undefined;
  let onSecond: () => void = () => undefined;
  const requested = new Promise<ShutdownRequest>((resolve) => {
    onFirst = resolve;
  });
  const insisted = new Promise<void>((resolve) => {
    onSecond = resolve;
  });
  let reasons = 0;
  const request = (reason: string): void => {
    reasons++;
    if (reasons === 1) onFirst({ reason });
    else onSecond();
  };
  process.on('SIGTERM', () => request('SIGTERM'));
  process.on('SIGINT', () => request('SIGINT'));
  if (withStdin) {
    process.stdin.on('end', () => request('standard input ended'));
    process.stdin.on('error', () => request('standard input failed'));
    process.stdin.resume();
  }
  return { requested, insisted };
}
