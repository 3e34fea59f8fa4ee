/** `headrace serve CONFIG`: the sidecar, from its configuration to its last batch. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import { messageOf } from '../../src/core/errors.js';
import { formatDuration } from '../../src/core/quantity.js';
import { SEGMENT_FIELDS, SEGMENT_FLAGS, SEGMENT_LAST } from '../../src/core/sequence.js';
import { openPipeline, type Pipeline } from '../../src/pipeline.js';
import type { Batch } from '../../src/stream/rank-stream.js';
import { defaultAddress } from '../../src/wire/address.js';
import { createLogger, type LogFormat } from '../log.js';
import type { MetricsServer } from '../metrics/http.js';
import type { ServedCounters } from '../metrics/metrics.js';
import { showProgress } from '../progress.js';
import { Server } from '../serve/server.js';
import { bindSocket } from '../serve/socket.js';
import { watchShutdown, type Shutdown } from '../shutdown.js';

export interface ServeOptions {
  readonly configFile: string;
  /** Takes the place of serve.address. */
  readonly address: string | undefined;
  readonly logFormat: LogFormat;
  readonly logLevel: string;
  readonly exitWithStdin: boolean;
}

/** Returns the exit status. Errors: everything that openPipeline and bindSocket may throw. */
export async function serve(options: ServeOptions): Promise<number> {
  const shutdown = watchShutdown(options.exitWithStdin);
  const log = await createLogger(options.logFormat, options.logLevel);
  const config = await loadConfig(options.configFile);
  const address = options.address ?? config.serve.address ?? defaultAddress(options.configFile);

  // the socket first: a second sidecar on the same address must fail before it reads a single footer
  const socket = await bindSocket(address);
  const opening = new AbortController();
  const metrics = config.serve.metrics === undefined ? undefined : await openMetrics(config.serve.metrics);
  void shutdown.requested.then(({ reason }) => opening.abort(new Error(reason)));
  let pipeline: Pipeline | undefined;
  try {
    pipeline = await openPipeline(config, { signal: opening.signal, warn: (message, detail) => log.warn(detail, message) });
    const served: ServedCounters = { batches: 0, tokens: 0, padding: 0, documents: 0 };
    const server = new Server({ pipeline, socket, leaseMs: config.serve.leaseMs, log, onBatch: (batch) => countBatch(served, batch) });
    const serving = server.run();
    metrics?.show({ pipeline, server, served });
    process.stdout.write(`${readyLine(pipeline, socket.address, metrics?.url)}\n`);
    log.info({ address: socket.address, plan: pipeline.info.planFingerprint.slice(0, 16) }, 'ready');

    const progress = options.logFormat === 'pretty' && process.stderr.isTTY ? showProgress({ pipeline, server, served }) : undefined;
    await Promise.race([shutdown.requested, serving]);
    progress?.stop();
    await drain(server, shutdown, config.serve.graceMs, log);
    const rows = rowsLeftOut(pipeline.stats);
    if (rows !== undefined) log.info(rows, 'rows that were left out of the windows that were read');
    return 0;
  } catch (error) {
    if (opening.signal.aborted && pipeline === undefined) return 0; // asked to end before it was ready
    throw error;
  } finally {
    metrics?.show(undefined);
    await Promise.all([pipeline?.close(), socket.close(), metrics?.close()]);
  }
}

/** Imported when it is wanted: its library is a tenth of what a start loads. */
async function openMetrics(address: string): Promise<MetricsServer> {
  const { serveMetrics } = await import('../metrics/http.js');
  return serveMetrics(address);
}

/** Of those that metadata did not rule out, which the start told of; `undefined`: none. */
function rowsLeftOut({ rowsFiltered, rowsExcluded, rowsSkipped }: Pipeline['stats']): Record<string, number> | undefined {
  const counts = Object.entries({ byWhere: rowsFiltered, byExclude: rowsExcluded, bad: rowsSkipped }).filter(([, rows]) => rows > 0);
  return counts.length === 0 ? undefined : Object.fromEntries(counts);
}

async function drain(server: Server, shutdown: Shutdown, graceMs: number, log: Logger): Promise<void> {
  const { reason } = await shutdown.requested;
  const trainers = server.sessions.length;
  log.info(
    { reason, trainers },
    trainers === 0 ? 'ending' : `draining: connected trainers are served for up to ${formatDuration(graceMs)} more`,
  );
  const timer = new AbortController();
  const outcome = await Promise.race([
    server
      .drain()
      .then(() => (server.sessions.length === 0 ? 'every trainer has left' : 'the trainers that are left need nothing, or are silent')),
    delay(graceMs, 'the grace period is over', { signal: timer.signal }).catch((error: unknown) => messageOf(error)),
    shutdown.insisted.then(() => 'told twice'),
  ]);
  timer.abort();
  log.info({ trainers: server.sessions.length }, `ended: ${outcome}`);
}

function countBatch(served: ServedCounters, batch: Batch): void {
  served.batches++;
  served.tokens += batch.tokens;
  served.padding += batch.rows * batch.length - batch.tokens;
  for (let i = SEGMENT_FLAGS; i < batch.segments.length; i += SEGMENT_FIELDS) {
    if ((batch.segments[i] & SEGMENT_LAST) !== 0) served.documents++;
  }
}

function readyLine(pipeline: Pipeline, address: string, metricsUrl: string | undefined): string {
  const { sources, tokenizer, seed, length, batchSize, lanes } = pipeline.info;
  const shards = sources.reduce((sum, source) => sum + source.shardCount, 0);
  // of shards that are opened as they are read nobody knows them
  const rows = sources.reduce((sum, source) => sum + (source.rows ?? NaN), 0);
  const parts = [
    `headrace ready at ${address}`,
    `${shards} ${shards === 1 ? 'shard' : 'shards'}`,
    ...(Number.isNaN(rows) ? [] : [`${rows} rows`]),
    tokenizer.vocabSize === 0 ? 'no tokenizer' : `tokenizer of ${tokenizer.vocabSize} tokens`,
    `batch ${batchSize} × ${length}`,
    `${lanes} lanes`,
    `seed ${seed}`,
    ...(metricsUrl === undefined ? [] : [`metrics ${metricsUrl}/metrics`]),
  ];
  return parts.join(' · ');
}
