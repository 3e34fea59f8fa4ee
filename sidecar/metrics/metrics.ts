/** What Prometheus sees of a sidecar: names, meanings, and where each value is read. Values are read when asked for; nothing is updated on the way of the data. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Pipeline } from '../../src/pipeline.js';
import type { Server } from '../serve/server.js';

/** Counted by the sidecar as it serves. */
export interface ServedCounters {
  batches: number;
  tokens: number;
  padding: number;
  documents: number;
}

export interface MetricsSources {
  readonly pipeline: Pipeline;
  readonly server: Server;
  readonly served: ServedCounters;
}

export function createRegistry({ pipeline, server, served }: MetricsSources): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });

  const counter = (name: string, help: string, read: () => number): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers: [registry],
      collect: () => {
        metric.reset();
        metric.inc(read());
      },
    });
  };
  const gauge = (name: string, help: string, read: () => number): void => {
    const metric: Gauge = new Gauge({ name, help, registers: [registry], collect: () => metric.set(read()) });
  };

  counter('headrace_batches_total', 'Batches sent to trainers.', () => served.batches);
  counter('headrace_tokens_total', 'Tokens sent to trainers, without padding.', () => served.tokens);
  counter('headrace_padding_tokens_total', 'Tokens of padding sent to trainers.', () => served.padding);
  counter('headrace_documents_total', 'Documents whose last token was sent to a trainer.', () => served.documents);
  counter('headrace_tokens_truncated_total', 'Tokens left out under sequence.long: truncate.', () => pipeline.stats.tokensTruncated);
  counter('headrace_rows_skipped_total', 'Rows left out under badRows: skip and badBlocks: skip.', () => pipeline.stats.rowsSkipped);
  counter(
    'headrace_slices_skipped_total',
    'Slices of damaged or missing blocks left out under badBlocks: skip.',
    () => pipeline.stats.slicesSkipped,
  );
  counter('headrace_rows_excluded_total', 'Rows left out by exclude.', () => pipeline.stats.rowsExcluded);
  counter(
    'headrace_rows_filtered_total',
    'Rows left out by where, of row groups that metadata did not rule out.',
    () => pipeline.stats.rowsFiltered,
  );
  const ruledOut: Gauge<'source' | 'by'> = new Gauge({
    name: 'headrace_where_ruled_out',
    help: 'What where rules out before a row is read: shards by partition, row groups by statistics and by bloom filter.',
    labelNames: ['source', 'by'],
    registers: [registry],
  });
  for (const { name, ruledOut: own } of pipeline.info.sources) {
    if (own === undefined) continue;
    ruledOut.set({ source: name, by: 'partition' }, own.shards ?? 0);
    ruledOut.set({ source: name, by: 'statistics' }, own.byStatistics);
    ruledOut.set({ source: name, by: 'bloom' }, own.byBloom);
  }
  counter('headrace_windows_total', 'Windows fetched.', () => pipeline.stats.windows);
  counter('headrace_store_read_bytes_total', 'Bytes read from stores.', () => pipeline.storeCounters.bytes);
  counter('headrace_store_requests_total', 'Requests to stores.', () => pipeline.storeCounters.requests);
  counter('headrace_store_errors_total', 'Requests to stores that failed.', () => pipeline.storeCounters.errors);
  counter('headrace_store_retries_total', 'Second and later tries of requests to stores.', () => pipeline.storeCounters.retries);
  counter('headrace_store_throttled_total', 'Answers of stores that asked for less (429, 503).', () => pipeline.storeCounters.throttled);
  counter(
    'headrace_store_resumed_bytes_total',
    'Bytes of reads that broke off and were not asked for again.',
    () => pipeline.storeCounters.resumedBytes,
  );
  counter('headrace_store_hedges_total', 'Second requests for reads that took long.', () => pipeline.storeCounters.hedges);
  counter('headrace_store_hedges_won_total', 'Of those, the ones that answered first.', () => pipeline.storeCounters.hedgesWon);
  counter('headrace_store_coalesced_total', "Reads that another one's request answered.", () => pipeline.storeCounters.coalesced);
  counter('headrace_tokenized_bytes_total', 'Bytes of text that were tokenized.', () => pipeline.stats.tokenizedBytes);
  const { cacheCounters } = pipeline;
  if (cacheCounters !== undefined) {
    counter('headrace_cache_hits_total', 'Reads answered from the local cache.', () => cacheCounters.hits);
    counter('headrace_cache_misses_total', 'Reads that the local cache could not answer.', () => cacheCounters.misses);
    counter('headrace_cache_read_bytes_total', 'Bytes read from the local cache.', () => cacheCounters.bytesFromCache);
    counter('headrace_cache_written_bytes_total', 'Bytes written to the local cache.', () => cacheCounters.bytesWritten);
    counter('headrace_cache_evictions_total', 'Entries deleted to make room.', () => cacheCounters.evictions);
    counter('headrace_cache_corrupt_total', 'Damaged entries, deleted and fetched again.', () => cacheCounters.corrupt);
    counter('headrace_cache_lost_total', 'Entries that another process or a person deleted.', () => cacheCounters.lost);
    counter('headrace_cache_bypassed_total', 'Failed reads of the disk, and ranges and tokens not kept.', () => cacheCounters.bypassed);
    counter('headrace_cache_waits_total', 'Reads that waited for another process to fetch the same.', () => cacheCounters.waitsForOther);
    counter('headrace_token_slices_kept_total', 'Slices of text whose tokens were in the local cache.', () => pipeline.stats.slicesKept);
    counter('headrace_token_slices_wanted_total', 'Slices of text whose tokens were not.', () => pipeline.stats.slicesWanted);
  }
  const { ledgerCounters } = pipeline;
  if (ledgerCounters !== undefined) {
    counter('headrace_ledger_steps_total', 'Steps written to the ledger.', () => ledgerCounters.steps);
    counter('headrace_ledger_written_bytes_total', 'Bytes written to the ledger.', () => ledgerCounters.bytes);
    counter(
      'headrace_ledger_lost_total',
      'Steps and skipped rows that are not in the ledger, because it could not be written.',
      () => ledgerCounters.lost,
    );
  }
  counter('headrace_bad_messages_total', 'Malformed messages from clients.', () => server.counters.badMessages);
  counter('headrace_sessions_refused_total', 'HELLOs that were refused.', () => server.counters.refused);
  counter('headrace_sessions_fenced_total', 'Sessions that a newer incarnation of the trainer took over.', () => server.counters.fenced);
  counter('headrace_leases_expired_total', 'Sessions of trainers that fell silent.', () => server.counters.leasesExpired);
  gauge('headrace_sessions', 'Connected trainers.', () => server.sessions.length);
  gauge('headrace_credits', 'Batches that trainers have asked for and not been sent.', () =>
    sum(server.sessions.map((session) => session.credits)),
  );
  gauge('headrace_fetched_held_bytes', 'Bytes on their way from a store to a worker.', () => pipeline.heldBytes());
  gauge('headrace_ready_sequences', 'Sequences that wait in lanes for their step.', () => pipeline.readySequences());

  const wait: Counter<'cause'> = new Counter({
    name: 'headrace_wait_seconds_total',
    help:
      'Time spent, by cause: store (windows waiting for bytes), decode, tokenize, pack (worker threads at work), ' +
      'pipeline (trainers waiting with a credit), client (sessions waiting for a trainer to ask).',
    labelNames: ['cause'],
    registers: [registry],
    collect: () => {
      wait.reset();
      for (const [cause, ms] of Object.entries(waits(pipeline, server))) wait.inc({ cause }, ms / 1000);
    },
  });

  const trainerWait: Histogram<'rank'> = new Histogram({
    name: 'headrace_trainer_wait_seconds',
    help: 'How long a trainer waited for a batch, as its client measures it.',
    labelNames: ['rank'],
    buckets: TRAINER_WAIT_BUCKETS,
    registers: [registry],
  });
  server.tellWaits((rank, waitMs) => trainerWait.observe({ rank }, waitMs / 1000));
  const stall: Counter<'cause'> = new Counter({
    name: 'headrace_stall_seconds_total',
    help:
      'What trainers waited, by what kept the batch: store (bytes), decode, tokenize, pack (worker threads), other (ledger, weights, assembling), ' +
      'transport (the batch was on its way). The sum is that of headrace_trainer_wait_seconds.',
    labelNames: ['cause'],
    registers: [registry],
    collect: () => {
      stall.reset();
      const { stalls, transportMs } = server.waits().trainer;
      for (const [cause, ms] of Object.entries({ ...stalls, transport: transportMs })) stall.inc({ cause }, ms / 1000);
    },
  });
  return registry;
}

/** Seconds: from what no step notices, over a step's length, to an outage. */
const TRAINER_WAIT_BUCKETS = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30];

function waits(pipeline: Pipeline, server: Server): Record<string, number> {
  const { storeMs, decodeMs, tokenizeMs, packMs } = pipeline.stats;
  const { pipelineMs, clientMs } = server.waits();
  return { store: storeMs, decode: decodeMs, tokenize: tokenizeMs, pack: packMs, pipeline: pipelineMs, client: clientMs };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
