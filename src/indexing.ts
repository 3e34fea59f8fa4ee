/** Writes the indexes of a configuration's sources, so that later starts neither list nor read footers: `sources.NAME.index` then names them. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Config, SourceConfig } from './config/config.js';
import { HeadraceError } from './core/errors.js';
import { openDecoders } from './decode/open-decoders.js';
import { scanHere } from './decode/scan.js';
import type { ManifestProgress } from './manifest/manifest.js';
import { saveIndex } from './manifest/saved-index.js';
import { buildManifests } from './manifests.js';
import { createStoreSet, isLocalUri } from './store/open-store.js';
import { shownUri } from './store/schemes.js';

export interface IndexingOptions {
  /** Directory for `NAME.index`; `undefined`: each file is where `sources.NAME.index` says. */
  readonly outDir: string | undefined;
  readonly signal: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  readonly onProgress: (progress: ManifestProgress) => void;
}

/** An index that was written. */
export interface WrittenIndex {
  readonly source: string;
  readonly file: string;
  readonly bytes: number;
  readonly shards: number;
  readonly units: number;
  readonly rows: number;
  /** Shards whose metadata was read now; of the others the cache directory had it. */
  readonly shardsRead: number;
  /** Of the manifest. */
  readonly fingerprint: string;
}

/** Lists every source as a run without indexes would, and writes what it finds. Errors: `CONFIG_INVALID`, those of manifests and of writing. */
export async function* writeIndexes(config: Config, options: IndexingOptions): AsyncGenerator<WrittenIndex, void, undefined> {
  const targets = config.sources.map((source) => targetOf(source, options.outDir));
  const stores = createStoreSet(config.storage);
  try {
    const decoders = openDecoders(scanHere);
    for (const [i, source] of config.sources.entries()) {
      const listing: Config = { ...config, sources: [{ ...source, index: undefined, scan: 'ahead' }] };
      const [{ name, table, rows, request, fingerprint, shardsRead }] = await buildManifests(listing, stores, decoders, options);
      const file = targets[i];
      await saveIndex(file, { request, table, fingerprint });
      const { size: bytes } = await stat(file);
      yield { source: name, file, bytes, shards: table.length, units: table.columns.unitRows.length, rows, shardsRead, fingerprint };
    }
  } finally {
    await stores.close();
  }
}

function targetOf({ name, index }: SourceConfig, outDir: string | undefined): string {
  if (outDir !== undefined) return path.resolve(outDir, `${name}.index`);
  if (index !== undefined && isLocalUri(index)) return index.replace(/^file:\/\//, '');
  const message =
    index === undefined
      ? `there is no place for the index of source ${name}: neither --out nor sources.${name}.index is given`
      : `the index of source ${name} cannot be written to ${shownUri(index)}: headrace writes files only`;
  throw new HeadraceError('CONFIG_INVALID', message, {
    detail: { field: `sources.${name}.index` },
    hint: 'Give --out DIR, copy the files to where every machine can read them, and name them in sources.NAME.index.',
  });
}
