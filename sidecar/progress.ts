/** The line that a terminal shows while the sidecar serves: rewritten once a second. */
import { formatSize } from '../src/core/quantity.js';
import type { Pipeline } from '../src/pipeline.js';
import type { ServedCounters } from './metrics/metrics.js';
import type { Server } from './serve/server.js';

const INTERVAL_MS = 1000;
const CLEAR_LINE = '\r\u001b[2K';

export interface Progress {
  stop(): void;
}

export function showProgress({
  pipeline,
  server,
  served,
}: {
  readonly pipeline: Pipeline;
  readonly server: Server;
  readonly served: ServedCounters;
}): Progress {
  let tokensBefore = 0;
  const timer = setInterval(() => {
    const rate = (served.tokens - tokensBefore) / (INTERVAL_MS / 1000);
    tokensBefore = served.tokens;
    const steps = server.sessions.map((session) => session.nextStep);
    const step = steps.length === 0 ? 'no trainer' : `step ${Math.min(...steps)}`;
    const line = `${step} · ${server.sessions.length} trainers · ${millions(served.tokens)} tokens · ${millions(rate)} tokens/s · ${formatSize(pipeline.storeCounters.bytes)} read`;
    process.stderr.write(CLEAR_LINE + line);
  }, INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      process.stderr.write(CLEAR_LINE);
    },
  };
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(2)} M`;
}
