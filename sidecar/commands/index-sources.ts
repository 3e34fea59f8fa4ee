/** `headrace index CONFIG`: writes what listing and footers say of the sources' shards, so that later starts need neither. */
import { loadConfig } from '../../src/config/config.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { writeIndexes, type WrittenIndex } from '../../src/indexing.js';
import type { ManifestProgress } from '../../src/manifest/manifest.js';
import { listenForInterruption } from '../interruption.js';

export interface IndexOptions {
  readonly configFile: string;
  /** `undefined`: where `sources.NAME.index` says. */
  readonly outDir: string | undefined;
  /** One JSON value a line. */
  readonly json: boolean;
}

/** A terminal's line is rewritten once a second; a log gets a line every ten. */
const TERMINAL_INTERVAL_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;
const CLEAR_LINE = '\r\u001b[2K';

/** Returns the exit status: 0 when all indexes are written, 128 + its number after a signal. Errors: `CONFIG_INVALID`, those of reading and writing. */
export async function indexSources({ configFile, outDir, json }: IndexOptions): Promise<number> {
  const interruption = listenForInterruption();
  const config = await loadConfig(configFile);
  const progress = showIndexing(json);
  let started = performance.now();
  try {
    const written = writeIndexes(config, {
      outDir,
      signal: interruption.signal,
      warn: (message) => void process.stderr.write(`${message}\n`),
      onProgress: progress.update,
    });
    for await (const index of written) {
      const ms = performance.now() - started;
      progress.clear();
      process.stdout.write(`${json ? JSON.stringify({ ...index, ms: Math.round(ms) }) : writtenLine(index, ms)}\n`);
      started = performance.now();
    }
    return 0;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    return interruption.exitStatus;
  } finally {
    progress.stop();
    interruption.end();
  }
}

interface IndexingProgress {
  readonly update: (progress: ManifestProgress) => void;
  clear(): void;
  stop(): void;
}

function showIndexing(json: boolean): IndexingProgress {
  const terminal = !json && process.stderr.isTTY;
  let latest: ManifestProgress | undefined;
  const show = (): void => {
    if (latest === undefined) return;
    if (json) process.stdout.write(`${JSON.stringify(latest)}\n`);
    else process.stderr.write(terminal ? CLEAR_LINE + progressLine(latest) : `${progressLine(latest)}\n`);
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

function progressLine({ source, listed, indexed }: ManifestProgress): string {
  return indexed === 0 ? `${source}: ${listed} shards found` : `${source}: ${indexed} of ${listed} shards read`;
}

function writtenLine({ source, file, bytes, shards, units, rows, shardsRead }: WrittenIndex, ms: number): string {
  const parts = [
    `${source}: ${shards} shards`,
    `${units} row groups`,
    `${rows} rows`,
    `${shardsRead} footers read`,
    formatDuration(ms),
    `${file} (${formatSize(bytes)})`,
  ];
  return parts.join(' · ');
}
