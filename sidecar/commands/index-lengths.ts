/** `headrace index CONFIG --lengths`: writes how long the sequences of a run are that ends, so that each sidecar computes its own lanes only. */
import { loadConfig } from '../../src/config/config.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { writeLengths, type MeasuringProgress, type WrittenLengths } from '../../src/measuring.js';
import { showIndexing } from '../indexing-progress.js';
import { listenForInterruption } from '../interruption.js';

export interface IndexLengthsOptions {
  readonly configFile: string;
  /** `undefined`: where `lengths` says. */
  readonly outDir: string | undefined;
  /** `undefined`: to the end of the run. */
  readonly steps: number | undefined;
  /** One JSON value a line. */
  readonly json: boolean;
}

/** Returns the exit status: 0 when the file is written, 128 + its number after a signal. Errors: `CONFIG_INVALID`, those of a stream and of writing. */
export async function indexLengths({ configFile, outDir, steps, json }: IndexLengthsOptions): Promise<number> {
  const interruption = listenForInterruption();
  const config = await loadConfig(configFile);
  const started = performance.now();
  const progress = showIndexing<MeasuringProgress>(json, progressLine);
  try {
    const written = await writeLengths(config, {
      outDir,
      steps,
      signal: interruption.signal,
      warn: (message) => void process.stderr.write(`${message}\n`),
      onProgress: progress.update,
    });
    const ms = performance.now() - started;
    progress.clear();
    process.stdout.write(`${json ? JSON.stringify({ ...written, ms: Math.round(ms) }) : writtenLine(written, ms)}\n`);
    return 0;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    return interruption.exitStatus;
  } finally {
    progress.stop();
    interruption.end();
  }
}

function progressLine({ steps, sequences, tokens }: MeasuringProgress): string {
  return `${steps} steps · ${sequences} sequences · ${tokens} tokens`;
}

function writtenLine({ file, bytes, ...measured }: WrittenLengths, ms: number): string {
  return `${progressLine(measured)} · ${formatDuration(ms)} · ${file} (${formatSize(bytes)})`;
}
