/** `headrace warm CONFIG`: fills the local cache before a run. What is there already is not fetched again, so that an interrupted one just goes on. */
import { loadConfig } from '../../src/config/config.js';
import { HeadraceError } from '../../src/core/errors.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { hasRemoteSources, openWarming, type Warming, type WarmingNeed, type WarmingProgress } from '../../src/warming.js';
import { listenForInterruption } from '../interruption.js';

export interface WarmOptions {
  readonly configFile: string;
  readonly epoch: number;
  /** `undefined`: the whole epoch. */
  readonly steps: number | undefined;
  readonly dryRun: boolean;
  /** One JSON value a line. */
  readonly json: boolean;
}

/** A terminal's line is rewritten once a second; a log gets a line every ten. */
const TERMINAL_INTERVAL_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;
/** Intervals that the rate is taken over: long enough to be steady, short enough to follow a store that becomes slow. */
const RATE_INTERVALS = 10;
const BAR_CELLS = 24;
const CLEAR_LINE = '\r\u001b[2K';

/**
 * Returns the exit status: 0 when everything is in the cache, 1 when some ranges could not be kept, 128 + its number after a signal.
 * Errors: `CONFIG_INVALID` (no cache, or too small a one), those of reading.
 */
export async function warm({ configFile, epoch, steps, dryRun, json }: WarmOptions): Promise<number> {
  const interruption = listenForInterruption();
  const print = (facts: Readonly<Record<string, string | number | boolean>>, line: string): void =>
    void process.stdout.write(`${json ? JSON.stringify(facts) : line}\n`);

  const config = await loadConfig(configFile);
  if (!hasRemoteSources(config)) {
    print({ outcome: 'nothing to warm' }, 'nothing to warm: all sources are files of this machine');
    return 0;
  }
  let warming: Warming | undefined;
  try {
    warming = await openWarming(config, {
      epoch,
      steps,
      signal: interruption.signal,
      warn: (message) => void process.stderr.write(`${message}\n`),
    });
    const { need, missingRoomBytes } = warming;
    print({ ...need }, needLine(need));
    if (missingRoomBytes > 0) throw tooSmall(need, missingRoomBytes);
    if (dryRun) return 0;
    await runShown(warming, json);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
  } finally {
    await warming?.close();
    interruption.end();
  }
  if (interruption.signal.aborted || warming === undefined) {
    if (warming !== undefined) print(outcomeFacts('interrupted', warming), `interrupted: ${trafficLine(warming)} · run it again to go on`);
    return interruption.exitStatus;
  }
  const { bypassed } = warming.cacheCounters;
  if (bypassed > 0) {
    print(outcomeFacts('incomplete', warming), `incomplete: ${trafficLine(warming)} · ${bypassed} ranges could not be kept`);
    return 1;
  }
  print(outcomeFacts('done', warming), `done: ${trafficLine(warming)}`);
  return 0;
}

async function runShown(warming: Warming, json: boolean): Promise<void> {
  const terminal = !json && process.stderr.isTTY;
  const started = performance.now();
  const recent: { readonly ms: number; readonly bytes: number }[] = [{ ms: started, bytes: 0 }];
  let progress: WarmingProgress = { windows: 0, bytes: 0 };
  const show = (): void => {
    const now = { ms: performance.now(), bytes: progress.bytes };
    const [before] = recent;
    const bytesPerMs = (now.bytes - before.bytes) / (now.ms - before.ms);
    recent.push(now);
    if (recent.length > RATE_INTERVALS) recent.shift();
    if (json) process.stdout.write(`${JSON.stringify({ ...progress, ...traffic(warming) })}\n`);
    else
      process.stderr.write(
        terminal ? CLEAR_LINE + progressLine(warming.need, progress, bytesPerMs) : `${progressLine(warming.need, progress, bytesPerMs)}\n`,
      );
  };
  const timer = setInterval(show, terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS);
  try {
    for await (const made of warming.run()) progress = made;
  } finally {
    clearInterval(timer);
    if (terminal) process.stderr.write(CLEAR_LINE);
  }
}

function progressLine(need: WarmingNeed, { bytes }: WarmingProgress, bytesPerMs: number): string {
  const share = need.bytes === 0 ? 1 : bytes / need.bytes;
  const cells = Math.floor(share * BAR_CELLS);
  const left = bytesPerMs > 0 ? `${formatDuration((need.bytes - bytes) / bytesPerMs)} left` : 'waiting';
  const rate = `${formatSize(Math.round(bytesPerMs * 1000))}/s`;
  return `${'█'.repeat(cells)}${'░'.repeat(BAR_CELLS - cells)} ${Math.floor(share * 100)} % of ${formatSize(need.bytes)} · ${rate} · ${left}`;
}

function needLine({ shards, windows, bytes, requests, exact }: WarmingNeed): string {
  return `${exact ? '' : 'about '}${formatSize(bytes)} of ${shards} shards · ${windows} windows · about ${requests} requests`;
}

interface Traffic {
  readonly bytesFetched: number;
  readonly requests: number;
  readonly bytesFromCache: number;
}

/** Manifests included. */
function traffic({ storeCounters, cacheCounters }: Warming): Traffic {
  return { bytesFetched: storeCounters.bytes, requests: storeCounters.requests, bytesFromCache: cacheCounters.bytesFromCache };
}

function outcomeFacts(outcome: string, warming: Warming): Readonly<Record<string, string | number>> {
  return { outcome, ...traffic(warming), bypassed: warming.cacheCounters.bypassed };
}

function trafficLine(warming: Warming): string {
  const { bytesFetched, requests, bytesFromCache } = traffic(warming);
  return `${formatSize(bytesFetched)} fetched in ${requests} requests · ${formatSize(bytesFromCache)} were there already`;
}

function tooSmall(need: WarmingNeed, missingBytes: number): HeadraceError {
  return new HeadraceError(
    'CONFIG_INVALID',
    `the cache is ${formatSize(missingBytes)} too small for the ${formatSize(need.bytes)} that were asked for: nothing was fetched`,
    {
      detail: { field: 'cache.size', needBytes: need.bytes, missingBytes },
      hint: 'Raise cache.size, free disk space below cache.dir (5 % of it stay free), or warm fewer --steps.',
    },
  );
}
