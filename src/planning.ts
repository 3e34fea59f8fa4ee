/**
 * The plan of a run, from its configuration and manifests: which documents of which sources, in which order, and the record of everything that the stream
 * depends on. No I/O.
 */
import type { Config, SourceConfig } from './config/config.js';
import { LIMITS } from './config/limits.js';
import { canonicalJson, fingerprint } from './core/canonical-json.js';
import { describeField, type Field, type SourceKind } from './core/fields.js';
import type { Packing } from './core/packing.js';
import type { Shard } from './core/shard.js';
import { HeadraceError } from './core/errors.js';
import { cutBlocks } from './manifest/blocks.js';
import type { SourceManifest } from './manifest/manifest.js';
import type { LaneState, LaneStates, PlanRecord } from './plan/cursor.js';
import { createOpenedPlan, createScannedPlan } from './plan/scanned-plan.js';
import { createSourcePlan, isKnown, type KnownPlan, type SourcePlan, type SourcePlanOptions } from './plan/source-plan.js';
import type { BuiltExclusions } from './select/excluded.js';
import { needsIds, type RowSelection, type Split } from './select/selection.js';
import type { MixtureTimelineOptions } from './stream/mixture-timeline.js';

/** The order of a stream is part of the product: raise this when any change of the code moves it, and say so in CHANGELOG.md. */
const PLAN_VERSION = 3;
/** Goes up when a template gives another text of the same chat: cursors from before are refused then, in which nothing else would differ. */
const CHAT_RENDERING = 2;

/** What the stream needs to know of a tokenizer. */
export interface TokenizerFacts {
  /** 0 without a tokenizer. */
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  /** Appended to each document of text. */
  readonly appendId: number | undefined;
  readonly padId: number;
}

/** What the stream depends on of a source of chats, beside its columns. */
export interface ChatFacts {
  readonly template: string;
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly loss: 'assistant' | 'all';
}

/** A transform by its content: where it lies moves nothing. */
export interface TransformFacts {
  readonly sha256: string;
}

export interface PlannedSource {
  readonly plan: SourcePlan;
  readonly manifest: SourceManifest;
  /** How many an epoch has: of shards that are opened as they are read, one each. */
  readonly blocks: number;
  readonly kind: SourceKind;
  readonly hasFields: boolean;
  /** As it holds for the split. */
  readonly config: SourceConfig;
  /** `undefined`: all rows are taken. */
  readonly selection: RowSelection | undefined;
}

/** What the streams of one split are made of. */
export interface PlannedSplit {
  /** As it holds for the split. */
  readonly config: Config;
  readonly sources: readonly PlannedSource[];
  readonly plan: PlanRecord;
}

/** What a plan is made of, beside the split. */
export interface PlanParts {
  readonly config: Config;
  /** By source. */
  readonly manifests: readonly SourceManifest[];
  /** By source. */
  readonly exclusions: readonly BuiltExclusions[];
  readonly facts: TokenizerFacts;
  /** Of samples. */
  readonly fields: readonly Field[] | undefined;
  readonly tokenizer: { readonly fingerprint: string; readonly invalidUtf8: 'error' | 'replace' } | undefined;
  /** By name of a source of chats. */
  readonly chats?: ReadonlyMap<string, ChatFacts> | undefined;
  /** By name of a source with a transform. */
  readonly transforms?: ReadonlyMap<string, TransformFacts> | undefined;
}

export function planSplit(parts: PlanParts, split: Split): PlannedSplit {
  const config = configOfSplit(parts.config, split);
  return { config, sources: planSources(config, parts, split), plan: planRecord(config, parts, split) };
}

/**
 * When a source's groups are read, on one clock for all sources: an epoch takes as long as its decoded bytes, at the weight's share. The longest epoch is
 * the unit. Weights change and bytes are no tokens, so that it is an estimate, good enough for what a cache keeps.
 */
export function groupClocks(sources: readonly PlannedSource[]): ((group: number) => number)[] {
  const lengths = sources.map(({ manifest, config }) => decodedBytes(manifest) / Math.max(config.weight, Number.EPSILON));
  const longest = Math.max(...lengths);
  return sources.map(
    ({ plan }, i) =>
      (group) =>
        longest > 0 ? (group / plan.groupsPerEpoch) * (lengths[i] / longest) : 0,
  );
}

/** Of shards that are not opened, the bytes that they have as they lie. */
function decodedBytes({ table, scanned }: SourceManifest): number {
  let sum = 0;
  if (scanned?.kind === 'as-read') {
    for (const bytes of table.columns.size) sum += bytes;
    return sum;
  }
  for (const bytes of table.columns.unitDecodedBytes) sum += bytes; // a million shards have eight million units
  return sum;
}

/** Without the record, which needs a tokenizer. `config`: as it holds for the split. */
export function planSources(
  config: Config,
  { manifests, exclusions }: Pick<PlanParts, 'manifests' | 'exclusions'>,
  split: Split,
): PlannedSource[] {
  // validation reads on another clock, whenever a trainer asks for it
  const clockOf = (index: number) => (split === 'train' ? (group: number): number => clocks()[index](group) : undefined);
  const sources = manifests.map((manifest, index) =>
    planSource(config, manifest, index, { split, exclusions: exclusions[index], clockOf: clockOf(index) }),
  );
  let made: ReturnType<typeof groupClocks> | undefined;
  const clocks = (): ReturnType<typeof groupClocks> => (made ??= groupClocks(sources));
  return sources;
}

/** Validation is the same whatever training does: every document once, by the weights that the sources have in the configuration, to the last one. */
function configOfSplit(config: Config, split: Split): Config {
  if (split === 'train') return config;
  const sources = config.sources.map((source) => ({ ...source, epochs: 1, maxTokens: undefined, whenUsedUp: 'drop' as const }));
  return { ...config, sources, mixture: [], runDir: undefined, last: 'pad' };
}

/** Weights of a split's sources, and how they change by the configuration. */
export function weighed({ sources, mixture }: Config): Pick<MixtureTimelineOptions, 'names' | 'weights' | 'scheduled'> {
  return { names: sources.map(({ name }) => name), weights: sources.map(({ weight }) => weight), scheduled: mixture };
}

/** Which documents of a source are taken. */
interface SourceChoice {
  readonly split: Split;
  readonly exclusions: BuiltExclusions;
  /** When groups are read, on one clock for all sources; left out: nobody makes room by it. */
  readonly clockOf?: ((group: number) => number) | undefined;
}

/** `index`: of the manifest's source in the configuration. */
export function planSource(config: Config, manifest: SourceManifest, index: number, choice: SourceChoice): PlannedSource {
  const { split, exclusions, clockOf } = choice;
  const source = config.sources[index];
  const { lanes } = config.batch;
  const windowBytes = config.shuffle?.windowBytes ?? LIMITS.windowBytesDefault;
  const options: SourcePlanOptions = {
    name: source.name,
    seed: config.seed,
    lanes,
    shuffleBlocks: config.shuffle?.blocks,
    // the same windows, so that what is kept of their slices serves both splits
    unshuffled: split === 'validation',
    windowBytes,
    epochs: source.epochs,
  };
  const hasFields = source.fields !== undefined;
  return {
    ...planOf(manifest, options, clockOf),
    manifest,
    kind: source.kind,
    hasFields,
    config: source,
    selection: selectionOf(config, source, split, exclusions),
  };
}

/** Blocks are parts of what the shards hold, or shards. */
function planOf(
  { table, shards, scanned }: SourceManifest,
  options: SourcePlanOptions,
  clockOf: SourceChoice['clockOf'],
): Pick<PlannedSource, 'plan' | 'blocks'> {
  if (scanned === undefined) {
    const blocks = cutBlocks(table, options);
    return { plan: createSourcePlan(blocks, options), blocks: blocks.length };
  }
  const blocks = shards.length;
  if (scanned.kind === 'opened')
    return { plan: createOpenedPlan({ length: blocks, at: (index) => shards.at(index).shard }, options), blocks };
  const { opener } = scanned;
  const open = async (shard: number, group: number, signal?: AbortSignal): Promise<Shard> =>
    (await opener.open(shard, clockOf?.(group), signal)).shard;
  return { plan: createScannedPlan(blocks, open, options), blocks };
}

/** Errors: `CONFIG_INVALID`, where shards are opened as they are read, and not all of them are. */
export function knownPlanOf({ plan }: Pick<PlannedSource, 'plan'>): KnownPlan {
  if (isKnown(plan)) return plan;
  throw new HeadraceError('CONFIG_INVALID', `sources.${plan.name}.scan is as-read, and what all of its shards hold is needed here`, {
    detail: { field: `sources.${plan.name}.scan` },
    hint: 'Set `scan: ahead`. The stream is another one then.',
  });
}

function selectionOf(
  { validation }: Config,
  { name: source, where }: SourceConfig,
  split: Split,
  { ids, rows, count }: BuiltExclusions,
): RowSelection | undefined {
  if (validation === undefined && count === 0 && where === undefined) return undefined;
  return { source, split, excluded: count === 0 ? undefined : { ids, rows }, heldOut: validation, where };
}

export function firstStates(lanes: readonly number[], sources: readonly PlannedSource[]): LaneStates {
  return Object.fromEntries(
    lanes.map((lane): [string, LaneState] => [
      String(lane),
      Object.fromEntries(
        sources.map(({ plan }) => {
          const { group, window } = plan.firstPlace(lane);
          return [plan.name, [group, window, 0, 0, 0, 0]];
        }),
      ),
    ]),
  );
}

/** Every entry that the stream depends on. Whatever is not here must not be able to move it. */
function planRecord(config: Config, parts: PlanParts, split: Split): PlanRecord {
  const { manifests, facts, tokenizer } = parts;
  const sources = config.sources.flatMap((source, index) => [
    [`sources.${source.name}.column`, source.column],
    [`sources.${source.name}.kind`, source.kind],
    ...recordEntries(source, parts.chats?.get(source.name), parts.transforms?.get(source.name)),
    [`sources.${source.name}.weight`, source.weight],
    [`sources.${source.name}.epochs`, source.epochs ?? null],
    [`sources.${source.name}.maxTokens`, source.maxTokens ?? null],
    [`sources.${source.name}.whenUsedUp`, source.whenUsedUp],
    // only where it says something: cursors of older runs go on
    ...(source.scan === 'as-read' ? [[`sources.${source.name}.scan`, source.scan]] : []),
    [`sources.${source.name}.manifest`, manifests[index].fingerprint],
    ...(source.fields ?? []).map((field) => [`sources.${source.name}.fields.${field.name}`, field.column]),
    ...selectionEntries(config, index, split, parts.exclusions[index]),
  ]);
  const ofTraining = split === 'train';
  return {
    version: PLAN_VERSION,
    // the order of validation does not depend on it
    seed: ofTraining ? config.seed : null,
    ...(Object.fromEntries(sources) as PlanRecord),
    ...(config.validation && {
      split,
      'validation.share': config.validation.share,
      'validation.by': config.validation.by,
      'validation.seed': config.validation.seed,
    }),
    'tokenizer.file': tokenizer?.fingerprint ?? null,
    'tokenizer.append': facts.appendId ?? null,
    'tokenizer.invalidUtf8': tokenizer?.invalidUtf8 ?? null,
    'sequence.length': config.sequence.length,
    ...packingEntries(config.sequence.packing),
    'sequence.padId': facts.padId,
    ...Object.fromEntries((parts.fields ?? []).map((field) => [`fields.${field.name}`, describeField(field)])),
    'shuffle.blocks': config.shuffle?.blocks ?? null,
    'shuffle.windowBytes': config.shuffle?.windowBytes ?? null,
    'batch.size': config.batch.size,
    'batch.lanes': config.batch.lanes,
    mixture: config.mixture.length === 0 ? null : canonicalJson(config.mixture.map(({ at, weights, ramp }) => ({ at, weights, ramp }))),
    last: lanesCanEnd(config) ? config.last : null,
    badRows: config.badRows,
    // only where it says something: cursors of older runs go on
    ...(config.badBlocks === 'skip' && { badBlocks: config.badBlocks }),
  };
}

/** Whether a lane can be without a sequence: then the other lanes fill its slots, and every rank needs them all. */
export function lanesCanEnd(config: Config): boolean {
  const { sources, mixture } = config;
  // what is left when a source has ended may have no weight
  const weightless = [...sources.map(({ weight }) => weight), ...mixture.flatMap(({ weights }) => Object.values(weights))].includes(0);
  return runCanEnd(config) || (weightless && sources.some(ends));
}

/** Whether every lane ends, whatever the weights are: as long as they let the sources that decide it be used up. */
export function runCanEnd({ sources }: Config): boolean {
  const keeping = sources.filter(({ whenUsedUp }) => whenUsedUp !== 'repeat');
  const stops = sources.some((source) => source.whenUsedUp === 'stop' && ends(source));
  return stops || (keeping.length > 0 && keeping.every(ends));
}

/** Whether a change of weights while running may leave a source without any: not where that could end a lane of a run whose plan says that none can. */
export function mayBeWeightless(config: Config): boolean {
  return lanesCanEnd(config) || !config.sources.some(ends);
}

function ends({ epochs, maxTokens }: SourceConfig): boolean {
  return epochs !== undefined || maxTokens !== undefined;
}

/** What documents are made of and with: the template by its content, with the tokens that it is given, and the transform by its content. */
function recordEntries(
  { name, kind, hasIds, columns = [] }: SourceConfig,
  chat: ChatFacts | undefined,
  transform: TransformFacts | undefined,
): [string, string][] {
  const entries: [string, string][] = [];
  if (kind === 'records') entries.push([`sources.${name}.columns`, canonicalJson(columns)]);
  if (kind === 'records' && hasIds) entries.push([`sources.${name}.makes`, 'tokens']);
  if (chat !== undefined) {
    const { template, specialTokens, loss } = chat;
    entries.push(
      [`sources.${name}.template`, fingerprint({ template, specialTokens, rendering: CHAT_RENDERING })],
      [`sources.${name}.loss`, loss],
    );
  }
  if (transform !== undefined) entries.push([`sources.${name}.transform`, transform.sha256]);
  return entries;
}

/** A packing without choices has one entry, so that its streams and cursors know nothing of the choices of others. */
function packingEntries(packing: Packing): PlanRecord {
  return {
    'sequence.packing': packing.kind,
    ...(packing.kind === 'best-fit' && { 'sequence.packingTokens': packing.groupTokens }),
    ...(packing.kind === 'pad' && { 'sequence.long': packing.long }),
  };
}

/** What decides about single documents: by its content, so that where a list lies and how it is written moves nothing. */
function selectionEntries(config: Config, index: number, split: Split, exclusions: BuiltExclusions): [string, string][] {
  const source = config.sources[index];
  const { name, id, where } = source;
  const selection = selectionOf(config, source, split, exclusions);
  const { fingerprint: excluded } = exclusions;
  return [
    ...(selection !== undefined && needsIds(selection) && id !== undefined ? [[`sources.${name}.id`, id] as [string, string]] : []),
    ...(excluded === undefined ? [] : [[`sources.${name}.exclude`, excluded] as [string, string]]),
    ...(where === undefined ? [] : [[`sources.${name}.where`, canonicalJson({ ...where })] as [string, string]]),
  ];
}
