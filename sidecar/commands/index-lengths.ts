/** `headrace index CONFIG --lengths`: writes how long the sequences of a run are that ends, so that each sidecar computes its own lanes only. */
import { loadConfig } from '../../src/config/config.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { writeLengths, type MeasuringProgress, type WrittenLengths } from '../../src/measuring.js';
import { runIndexing } from '../indexing-progress.js';

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
export function indexLengths({ configFile, outDir, steps, json }: IndexLengthsOptions): Promise<number> {
  return runIndexing(json, progressLine, async ({ written, ...run }) => {
    const lengths = await writeLengths(await loadConfig(configFile), { outDir, steps, ...run });
    written(lengths, (ms) => writtenLine(lengths, ms));
  });
}

function progressLine({ steps, sequences, tokens }: MeasuringProgress): string {
  return `${steps} steps · ${sequences} sequences · ${tokens} tokens`;
}

function writtenLine({ file, bytes, validationSteps, ...measured }: WrittenLengths, ms: number): string {
  const validation = validationSteps === undefined ? '' : ` · ${validationSteps} steps of validation`;
  return `${progressLine(measured)}${validation} · ${formatDuration(ms)} · ${file} (${formatSize(bytes)})`;
}
