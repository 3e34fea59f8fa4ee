import { afterEach, describe, expect, it } from 'vitest';
import { serveMetrics, type MetricsServer } from '../../sidecar/metrics/http.js';
import type { MetricsSources } from '../../sidecar/metrics/metrics.js';
import { NO_WAITS } from '../../sidecar/serve/trainer-waits.js';
import { createPipelineStats } from '../../src/stream/stats.js';

describe('metrics that cannot be read', () => {
  let metrics: MetricsServer | undefined;
  afterEach(() => metrics?.close());

  it('are a 500 that says why, and the next are there', async () => {
    let clientMs = -1;
    const server = {
      counters: {},
      sessions: [],
      waits: () => ({ pipelineMs: 0, clientMs, trainer: NO_WAITS }),
      tellWaits: () => undefined,
    };
    const pipeline = {
      info: { sources: [] },
      stats: createPipelineStats(),
      storeCounters: {},
      heldBytes: () => 0,
      readySequences: () => 0,
    };
    metrics = await serveMetrics('127.0.0.1:0');
    metrics.show({ pipeline, server, served: {} } as unknown as MetricsSources);
    const failed = await fetch(`${metrics.url}/metrics`);
    expect([failed.status, await failed.text()]).toEqual([500, expect.stringContaining('not possible to decrease a counter')]);
    clientMs = 1;
    const answer = await fetch(`${metrics.url}/metrics`);
    expect([answer.status, await answer.text()]).toEqual([
      200,
      expect.stringContaining('headrace_wait_seconds_total{cause="client"} 0.001'),
    ]);
  });
});
