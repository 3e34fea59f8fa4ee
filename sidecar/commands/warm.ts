/** `headrace warm CONFIG`: fills the local cache before a run. What is there already is not fetched again, so that an interrupted one just goes on. */
import { loadConfig } from '../../src/config/config.js';
import { HeadraceError } from '../../src/core/errors.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { hasSourcesToWarm, openWarming, type Warming, type WarmingNeed } from '../../src/warming.js';
import { NOTHING_WARMED, type WarmingProgress } from '../../src/warming-windows.js';
import { listenForInterruption } from '../interruption.js';

export interface WarmOptions {
  readonly configFile: string;
  readonly epoch: number;
  /** `undefined`: the whole epoch. */
  readonly steps: number | undefined;
  /** Whether text is tokenized. */
  readonly tokens: boolean;
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
 * Returns the exit status: 0 when everything is in the cache, 1 when some of it could not be kept, 128 + its number after a signal.
 * Errors: `CONFIG_INVALID` (no cache, or too small a one), those of reading, and of the tokenizer.
 */
export async function warm({ configFile, epoch, steps, tokens, dryRun, json }: WarmOptions): Promise<number> {
  const interruption = listenForInterruption();
  const print = (facts: object, line: string): void => void process.stdout.write(`${json ? JSON.stringify(facts) : line}\n`);
  const tell = (line: string): void => void process.stderr.write(`${line}\n`);

  const config = await loadConfig(configFile);
  if (!hasSourcesToWarm(config, tokens)) {
    const why = tokens ? 'all sources are files of this machine, and of none are tokens kept' : 'all sources are files of this machine';
    print({ outcome: 'nothing to warm' }, `nothing to warm: ${why}`);
    return 0;
  }
  let warming: Warming | undefined;
  let progress = NOTHING_WARMED;
  let slicesMissing = 0;
  try {
    warming = await openWarming(config, { epoch, steps, tokens, signal: interruption.signal, warn: tell });
    const { need, tokenless, missingRoomBytes, missingTokenRoomBytes } = warming;
    for (const source of tokenless)
      tell(`no tokens are kept of source ${source}: they are kept of text, without a transform, that is packed`);
    print(need, needLine(need));
    if (missingRoomBytes > 0) throw tooSmall(need, missingRoomBytes);
    if (missingTokenRoomBytes > 0) {
      const size = formatSize(missingTokenRoomBytes);
      tell(
        `the cache is about ${size} too small for the tokens as well: what is needed last will not stay; raise cache.size, or warm fewer --steps`,
      );
    }
    if (dryRun) return 0;
    await runShown(warming, json, (made) => (progress = made));
    slicesMissing = tokens ? (await warming.slicesMissing()) - progress.slicesLeftOut : 0;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
  } finally {
    await warming?.close();
    interruption.end();
  }
  if (interruption.signal.aborted || warming === undefined) {
    if (warming !== undefined) {
      print(outcomeFacts('interrupted', warming, progress), `interrupted: ${workLine(warming, progress)} · run it again to go on`);
    }
    return interruption.exitStatus;
  }
  const { bypassed } = warming.cacheCounters;
  if (bypassed > 0 || slicesMissing > 0) {
    const ranges = bypassed > 0 ? ` · ${bypassed} ranges and tokens of slices could not be kept` : '';
    const missing = slicesMissing > 0 ? ` · the tokens of ${slicesMissing} slices are not in the cache` : '';
    print(
      { ...outcomeFacts('incomplete', warming, progress), slicesMissing },
      `incomplete: ${workLine(warming, progress)}${ranges}${missing}`,
    );
    return 1;
  }
  print(outcomeFacts('done', warming, progress), `done: ${workLine(warming, progress)}`);
  return 0;
}

async function runShown(warming: Warming, json: boolean, onProgress: (made: WarmingProgress) => void): Promise<void> {
  const terminal = !json && process.stderr.isTTY;
  const work = workOf(warming.need);
  const recent: { readonly ms: number; readonly progress: WarmingProgress }[] = [{ ms: performance.now(), progress: NOTHING_WARMED }];
  let progress = NOTHING_WARMED;
  const show = (): void => {
    const now = { ms: performance.now(), progress };
    const [before] = recent;
    recent.push(now);
    if (recent.length > RATE_INTERVALS) recent.shift();
    if (json) {
      process.stdout.write(`${JSON.stringify({ ...progress, ...traffic(warming) })}\n`);
      return;
    }
    const line = progressLine(work, before.progress, progress, now.ms - before.ms);
    process.stderr.write(terminal ? CLEAR_LINE + line : `${line}\n`);
  };
  const timer = setInterval(show, terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS);
  try {
    for await (const made of warming.run()) onProgress((progress = made));
  } finally {
    clearInterval(timer);
    if (terminal) process.stderr.write(CLEAR_LINE);
  }
}

/** What takes the time: tokenizing, where there is anything to tokenize. */
interface Work {
  readonly total: number;
  readonly what: string;
  done(progress: WarmingProgress): number;
  rate(before: WarmingProgress, now: WarmingProgress, ms: number): string;
}

function workOf({ bytes, tokens }: WarmingNeed): Work {
  const perSecond = (count: number, ms: number): number => Math.round((1000 * count) / ms);
  if (tokens === undefined || tokens.slices === 0) {
    return {
      total: bytes,
      what: formatSize(bytes),
      done: (progress) => progress.bytes,
      rate: (before, now, ms) => `${formatSize(perSecond(now.bytes - before.bytes, ms))}/s`,
    };
  }
  return {
    total: tokens.textBytes,
    what: `${formatSize(tokens.textBytes)} of text`,
    done: (progress) => progress.textBytes,
    rate: (before, now, ms) =>
      `${now.slices} of ${tokens.slices} slices · ${formatCount(now.tokens)} tokens · ${formatCount(perSecond(now.tokens - before.tokens, ms))} tokens/s`,
  };
}

function progressLine(work: Work, before: WarmingProgress, now: WarmingProgress, ms: number): string {
  const done = work.done(now);
  // text that is compressed as a whole may be more than was said
  const share = work.total === 0 ? 1 : Math.min(1, done / work.total);
  const cells = Math.floor(share * BAR_CELLS);
  const perMs = (done - work.done(before)) / ms;
  const left = perMs > 0 ? `${formatDuration(Math.max(0, work.total - done) / perMs)} left` : 'waiting';
  const bar = `${'█'.repeat(cells)}${'░'.repeat(BAR_CELLS - cells)}`;
  return `${bar} ${Math.floor(share * 100)} % of ${work.what} · ${work.rate(before, now, ms)} · ${left}`;
}

function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

function needLine({ shards, windows, bytes, requests, exact, tokens }: WarmingNeed): string {
  const fetched = `${exact ? '' : 'about '}${formatSize(bytes)} of ${shards} shards · ${windows} windows · about ${requests} requests`;
  const read = shards === 0 ? `nothing to fetch · ${windows} windows` : fetched;
  if (tokens === undefined) return read;
  const text = `${formatCount(tokens.slices)} slices to tokenize, about ${formatSize(tokens.textBytes)} of text`;
  return `${read} · ${text} · ${formatCount(tokens.slicesKept)} slices are kept already`;
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

function outcomeFacts(outcome: string, warming: Warming, { slices, tokens }: WarmingProgress): object {
  const tokenized = warming.need.tokens && { slices, tokens };
  return { outcome, ...traffic(warming), ...tokenized, bypassed: warming.cacheCounters.bypassed };
}

function workLine(warming: Warming, { slices, tokens }: WarmingProgress): string {
  const { bytesFetched, requests, bytesFromCache } = traffic(warming);
  const tokenized = warming.need.tokens && ` · ${formatCount(tokens)} tokens of ${formatCount(slices)} slices`;
  return `${formatSize(bytesFetched)} fetched in ${requests} requests · ${formatSize(bytesFromCache)} were there already${tokenized ?? ''}`;
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
