/**
 * Asks a second time for the reads that take longest; the first answer is taken. Source: Dean and Barroso, "The Tail at Scale", 2013:
 * a hedged request, sent once the first has been under way for longer than the 95th percentile; and only as long as enough of them are first.
 */
import { underSignals } from '../core/abort.js';
import { after, systemClock, type Clock } from '../core/clock.js';
import { HeadraceError } from '../core/errors.js';
import { createHedgeWorth, type HedgeWorthOptions } from './hedge-worth.js';
import { createLatencyWindow } from './latency-window.js';
import { STORE_LIMITS } from './limits.js';
import { TransientStoreError } from './store-error.js';
import type { ByteRange, ReadOptions, Store } from './store.js';
import { createStoreCounters, type StoreCounters } from './with-counters.js';

export interface HedgingOptions extends Partial<HedgeWorthOptions> {
  readonly hedgeQuantile: number;
  readonly hedgeSamplesMax: number;
  readonly hedgeSamplesMin: number;
  /** No read is slow before this. */
  readonly hedgeDelayMsMin: number;
  /** Bytes that may be asked for twice, as a share of those read … */
  readonly hedgeBytesShare: number;
  /** … and how many of those may be saved up. */
  readonly hedgeBytesSavedMax: number;
  readonly clock?: Clock;
  readonly counters?: StoreCounters;
}

/** One of the two requests of a read. */
interface Try {
  readonly answer: Promise<Uint8Array>;
  readonly abort: AbortController;
}

/** A read fails when both its requests have; the loser is aborted at once. */
export function withHedging(store: Store, options: HedgingOptions): Store {
  const { clock = systemClock, counters = createStoreCounters(), hedgeDelayMsMin, hedgeBytesShare, hedgeBytesSavedMax } = options;
  const latencies = createLatencyWindow({
    quantile: options.hedgeQuantile,
    samplesMax: options.hedgeSamplesMax,
    samplesMin: options.hedgeSamplesMin,
  });
  const worth = createHedgeWorth({ ...STORE_LIMITS, ...options });
  let savedBytes = 0;

  const ask = (path: string, range: ByteRange, { signal, ...readOptions }: ReadOptions): Try => {
    const abort = new AbortController();
    const answer = underSignals(abort, [signal], () => store.read(path, range, { ...readOptions, signal: abort.signal }));
    answer.catch(() => undefined); // whoever wants to know of its failure waits for it
    return { answer, abort };
  };

  const race = async (first: Try, slowMs: number, length: number, again: () => Try): Promise<Uint8Array> => {
    const isSlow = await new Promise<boolean>((resolve) => {
      const cancel = after(clock, slowMs, () => resolve(true));
      const ended = (): void => {
        cancel();
        resolve(false);
      };
      first.answer.then(ended, ended);
    });
    if (!isSlow || savedBytes < length || !worth.isWorth()) return first.answer;
    savedBytes -= length;
    counters.hedges++;
    const second = again();
    const won = second.answer.then((bytes) => ({ bytes, hedgesWon: 1 }));
    const kept = first.answer.then((bytes) => ({ bytes, hedgesWon: 0 }));
    try {
      const { bytes, hedgesWon } = await Promise.any([kept, won]);
      counters.hedgesWon += hedgesWon;
      worth.ended(hedgesWon > 0);
      return bytes;
    } catch (error) {
      throw further((error as AggregateError).errors);
    } finally {
      for (const { abort } of [first, second]) abort.abort(LOST);
    }
  };

  return {
    uri: store.uri,
    list: (prefix, listOptions) => store.list(prefix, listOptions),
    head: (path, headOptions) => store.head(path, headOptions),
    read: async (path, range, readOptions = {}) => {
      const length = range.endByte - range.startByte;
      const slowMs = latencies.slowMs(length);
      const started = clock.now();
      // one array cannot take two answers
      const again = (): Try => ask(path, range, withoutInto(readOptions));
      const bytes =
        slowMs === undefined
          ? await store.read(path, range, readOptions)
          : await race(ask(path, range, readOptions), Math.max(hedgeDelayMsMin, slowMs), length, again);
      // of a read that its hedge answered, the least that it would have taken
      latencies.add(length, clock.now() - started);
      savedBytes = Math.min(hedgeBytesSavedMax, savedBytes + hedgeBytesShare * length);
      return bytes;
    },
    close: () => store.close(),
  };
}

// made once: an error takes the time to describe its stack
const LOST = new HeadraceError('ABORTED', 'another request for the same bytes was answered first');

function withoutInto({ into: _, ...options }: ReadOptions): ReadOptions {
  return options;
}

/** The error that leaves the fewest bytes to ask for. */
function further([first, second]: unknown[]): unknown {
  const received = (error: unknown): number => (error instanceof TransientStoreError ? (error.partial?.received ?? 0) : 0);
  return received(second) > received(first) ? second : first;
}
