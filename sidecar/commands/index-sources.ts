/** `headrace index CONFIG`: writes what listing and footers say of the sources' shards, so that later starts need neither. */
import { loadConfig } from '../../src/config/config.js';
import { formatDuration, formatSize } from '../../src/core/quantity.js';
import { writeIndexes, type WrittenIndex } from '../../src/indexing.js';
import type { ManifestProgress } from '../../src/manifest/manifest.js';
import { runIndexing } from '../indexing-progress.js';

export interface IndexOptions {
  readonly configFile: string;
  /** `undefined`: where `sources.NAME.index` says. */
  readonly outDir: string | undefined;
  /** One JSON value a line. */
  readonly json: boolean;
}

/** Returns the exit status: 0 when all indexes are written, 128 + its number after a signal. Errors: `CONFIG_INVALID`, those of reading and writing. */
export function indexSources({ configFile, outDir, json }: IndexOptions): Promise<number> {
  return runIndexing(json, progressLine, async ({ written, ...run }) => {
    for await (const index of writeIndexes(await loadConfig(configFile), { outDir, ...run }))
      written(index, (ms) => writtenLine(index, ms));
  });
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
