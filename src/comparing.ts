/**
 * Compares two streams, each known from states or from a configuration; where both are configurations, shard by shard.
 *
 *   states ─────────────────────────▶ plan, step, changes, lanes ┐
 *   config ─▶ manifests, tokenizer ─▶ plan, changes of run.dir   ┴▶ before which step they are equal, and why they part
 */
import type { Config } from './config/config.js';
import { HeadraceError } from './core/errors.js';
import { openPipeline, type PipelineOptions, type ShardInfo, type SourceInfo, type StreamRequest } from './pipeline.js';
import { compareStreams, viewOfCursor, type StreamComparison, type StreamView } from './plan/compare-streams.js';
import { mergeCursors, type Cursor, type PlanRecord } from './plan/cursor.js';
import { createMixtureReader } from './run/mixture-reader.js';

export interface ComparedStream {
  readonly view: StreamView;
  /** Of a configuration. */
  readonly config?: { readonly sources: readonly SourceInfo[]; readonly runDir: string | undefined };
}

/** How the shards of a source differ; paths below its root. */
export interface ShardDifference {
  readonly source: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Of other content under the same path. */
  readonly changed: readonly string[];
}

export interface StreamsComparison extends StreamComparison {
  /** Of sources whose manifests differ; `undefined` where one side is a state, which names no shards. */
  readonly shards: readonly ShardDifference[] | undefined;
}

/** Several states are merged. Errors: `CURSOR_MISMATCH`. */
export function streamOfStates(states: readonly Cursor[]): ComparedStream {
  const [first] = states;
  return { view: viewOfCursor(states.length === 1 ? first : mergeCursors(states)) };
}

/** Reads what the plan depends on, and no data. Errors: `CONFIG_INVALID` where there is no such split, those of `openPipeline`. */
export async function streamOfConfig(
  config: Config,
  split: StreamRequest['split'],
  warn: NonNullable<PipelineOptions['warn']>,
): Promise<ComparedStream> {
  // no window is made
  const pipeline = await openPipeline({ ...config, limits: { ...config.limits, workers: 1 } }, { observe: 'run', warn });
  try {
    const { sources, validationPlan } = pipeline.info;
    if (split === 'validation') return { view: validationView(validationPlan), config: { sources, runDir: undefined } };
    const { plan } = pipeline.info;
    const { runDir } = config;
    const mixture = runDir === undefined ? [] : await createMixtureReader({ dir: runDir, plan, warn }).through(-1);
    const view: StreamView = { plan, step: 0, mixture, mixtureKnownBefore: runDir === undefined ? Infinity : 0, lanes: undefined };
    return { view, config: { sources, runDir } };
  } finally {
    await pipeline.close();
  }
}

/** No change of weights while running is one of validation. Errors: `CONFIG_INVALID`. */
function validationView(plan: PlanRecord | undefined): StreamView {
  if (plan !== undefined) return { plan, step: 0, mixture: [], mixtureKnownBefore: Infinity, lanes: undefined };
  throw new HeadraceError('CONFIG_INVALID', 'the state is one of validation, and the configuration has none', {
    detail: { field: 'validation' },
    hint: 'Compare it with the configuration that it was made with, which has validation.share.',
  });
}

export function compare(a: ComparedStream, b: ComparedStream): StreamsComparison {
  // runs that share a directory take the same changes, whatever they will be
  const isOneRun = a.config?.runDir !== undefined && a.config.runDir === b.config?.runDir;
  const [left, right] = [a, b].map(({ view }): StreamView => (isOneRun ? { ...view, mixture: [], mixtureKnownBefore: Infinity } : view));
  const comparison = compareStreams(left, right);
  return { ...comparison, shards: a.config && b.config && differingShards(a.config.sources, b.config.sources, comparison) };
}

function differingShards(a: readonly SourceInfo[], b: readonly SourceInfo[], { entries }: StreamComparison): readonly ShardDifference[] {
  return a.flatMap((own) => {
    const other = b.find(({ name }) => name === own.name);
    if (other === undefined || !entries.some(({ field }) => field === `sources.${own.name}.manifest`)) return [];
    const [before, after] = [shardsByPath(own), shardsByPath(other)];
    return [
      {
        source: own.name,
        added: [...after.keys()].filter((path) => !before.has(path)),
        removed: [...before.keys()].filter((path) => !after.has(path)),
        changed: [...after].flatMap(([path, shard]) => (isChanged(before.get(path), shard) ? [path] : [])),
      },
    ];
  });
}

function shardsByPath(source: SourceInfo): Map<string, ShardInfo> {
  return new Map(
    Array.from({ length: source.shardCount }, (_, index) => {
      const shard = source.shard(index);
      return [shard.path, shard];
    }),
  );
}

function isChanged(before: ShardInfo | undefined, after: ShardInfo): boolean {
  if (before === undefined) return false;
  // of shards that are opened as they are read, nobody knows more than their sizes
  const isKnown = before.rows !== undefined && after.rows !== undefined;
  return before.size !== after.size || (isKnown && before.contentId !== after.contentId);
}
