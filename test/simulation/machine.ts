/** A machine of the simulation: the product's own plan, lanes, assemblers, mixture and packers, over rows that are made up instead of read. */
import { parseConfig, type Config } from '../../src/config/config.js';
import { HeadraceError } from '../../src/core/errors.js';
import { countedLength } from '../../src/core/packing.js';
import type { Shard } from '../../src/core/shard.js';
import type { OmittedSlice, SliceRows } from '../../src/decode/decoder.js';
import type { SourceManifest } from '../../src/manifest/manifest.js';
import { createPacker } from '../../src/pack/create-packer.js';
import type { PackPosition } from '../../src/pack/packer.js';
import { SequenceWriter } from '../../src/pack/sequence-writer.js';
import { firstStates, knownPlanOf, lanesCanEnd, planSources, type PlannedSource } from '../../src/planning.js';
import { checkCursorPlan, lanesOfCursor, mergeCursors, type Cursor, type PlanRecord } from '../../src/plan/cursor.js';
import type { MixtureChange } from '../../src/plan/mixture-changes.js';
import { checkRank, type Rank } from '../../src/plan/slots.js';
import type { WindowPlace } from '../../src/plan/source-plan.js';
import { Lane, type SequenceSource } from '../../src/stream/lane.js';
import { LengthsBuilder, type Lengths, type TakenSequence } from '../../src/stream/lengths.js';
import { MeasuredLane } from '../../src/stream/measured-lane.js';
import type { PackResult } from '../../src/stream/messages.js';
import { MixtureTimeline } from '../../src/stream/mixture-timeline.js';
import { StreamHub, type RankStream } from '../../src/stream/rank-stream.js';
import { SourceLane, type SourcePosition } from '../../src/stream/source-lane.js';
import { WindowDocuments } from '../../src/stream/window-documents.js';
import { SampleFields } from '../../src/stream/sample-fields.js';
import { WindowSamples } from '../../src/stream/window-samples.js';
import { tableOf } from '../support/shards.js';
import type { ReferencePlan, ReferenceSource } from './reference-types.js';
import { Scheduler } from './scheduler.js';

export const PAD_ID = 7;

/** As streams of some hundred tokens meet the bound that those of millions do. */
const READY_TOKENS = 40;
const NO_EXCLUSIONS = { ids: undefined, filterColumns: undefined, rows: undefined, count: 0, fingerprint: undefined };

/** Token `index` of a document: it says where it comes from. */
export function tokenId(source: number, shard: number, row: number, index: number): number {
  return (((source * 16 + shard) * 256 + row) << 10) | (index & 1023);
}

/** A change of weights while the run goes on; machines hear of it some steps before it holds. */
export interface LiveChange extends MixtureChange {
  readonly lead: number;
}

/** `plan.changes` holds the live ones as well, behind the scheduled. */
export interface Run {
  readonly plan: ReferencePlan;
  readonly live: readonly LiveChange[];
}

export interface Product {
  readonly config: Config;
  readonly sources: readonly PlannedSource[];
  readonly record: PlanRecord;
}

export function planRun({ plan, live }: Run): Product {
  const { packing, length } = plan;
  const kind = packing === 'split' || packing === 'truncate' ? 'pad' : typeof packing === 'string' ? packing : 'best-fit';
  const config = parseConfig({
    seed: plan.seed,
    sources: Object.fromEntries(
      plan.sources.map(({ name, weight, epochs, maxTokens, whenUsedUp }) => [
        name,
        { uri: `memory://x/${name}/`, tokens: 'ids', weight, whenUsedUp, ...(epochs && { epochs }), ...(maxTokens && { maxTokens }) },
      ]),
    ),
    mixture: plan.changes.slice(0, plan.changes.length - live.length),
    sequence: {
      length,
      packing: kind,
      padId: PAD_ID,
      ...(kind === 'pad' && { long: packing }),
      ...(typeof packing === 'object' && { packingTokens: packing.groupTokens }),
    },
    shuffle: plan.shuffleBlocks === 0 ? false : { blocks: plan.shuffleBlocks, windowBytes: plan.windowBytes },
    batch: { size: plan.batch, lanes: plan.lanes },
    last: plan.last,
    badRows: 'skip',
  });
  const manifests = plan.sources.map((source) => ({ name: source.name, table: tableOf(shardsOf(source)) }) as unknown as SourceManifest);
  const sources = planSources(config, { manifests, exclusions: manifests.map(() => NO_EXCLUSIONS) }, 'train');
  const record = { seed: plan.seed, 'batch.size': plan.batch, 'batch.lanes': plan.lanes, 'sequence.length': length };
  return { config, sources, record };
}

/** Of an end that is known, or is being found. */
export interface Measuring {
  readonly lengths?: Lengths | undefined;
  readonly onTaken?: (taken: TakenSequence) => void;
}

/** As `headrace index --lengths`: the first steps of a run whose weights nobody changes; undefined where no lane can end. */
export async function measure(run: Run, product: Product, steps: number): Promise<Lengths | undefined> {
  const { config, sources } = product;
  if (!lanesCanEnd(config)) return undefined;
  const { lanes } = config.batch;
  const { length } = config.sequence;
  const builder = new LengthsBuilder(sources.length, lanes, length);
  const machine = new Machine({ ...run, live: [] }, product, new Scheduler(steps), { onTaken: (taken) => builder.add(taken) });
  const stream = machine.open({ rank: 0, worldSize: 1 }, []);
  for (let step = 0; step < steps; step++) if ((await stream.next()) === undefined) break;
  machine.kill();
  return { uri: 'memory://lengths', lanes, length, columns: builder.finish() };
}

/** One sidecar, from its start to its end. */
export class Machine {
  /** Windows that it has opened, each by its source and place. */
  readonly opened = new Set<string>();
  readonly #hub: StreamHub;
  readonly #product: Product;

  constructor(run: Run, product: Product, scheduler: Scheduler, { lengths, onTaken }: Measuring = {}) {
    const { config, sources, record } = product;
    this.#product = product;
    const weighed = {
      names: config.sources.map(({ name }) => name),
      weights: config.sources.map(({ weight }) => weight),
      scheduled: config.mixture,
    };
    const log =
      run.live.length === 0
        ? undefined
        : {
            through: async (step: number) => {
              await scheduler.turn();
              const known = run.live.filter(({ at, lead }) => at - lead <= step);
              return known.map(({ at, weights, ramp }) => ({ at, weights, ramp }));
            },
          };
    const { size: batchSize, lanes } = config.batch;
    this.#hub = new StreamHub({
      batchSize,
      lanes,
      length: config.sequence.length,
      padId: PAD_ID,
      samples: config.sequence.packing.kind === 'samples' ? { fields: [], hasIds: true } : undefined,
      finite: lanesCanEnd(config),
      measured: lengths !== undefined,
      last: config.last,
      plan: record,
      openLane: (number, state, stepsWanted) =>
        new Lane(
          sources.map(({ plan, config: source }, index) => {
            const open = (at: SourcePosition): SequenceSource =>
              new SourceLane(
                {
                  plan,
                  length: config.sequence.length,
                  samples: config.sequence.packing.kind === 'samples',
                  stepSequences: batchSize / lanes,
                  readyTokens: READY_TOKENS,
                  sequencesWanted: stepsWanted * (batchSize / lanes),
                  openWindow: (place, from) => {
                    this.opened.add(`${index} ${place.group} ${place.window}`);
                    return new Window(config, sources[index], index, run.plan.sources[index].shards, place, from, scheduler);
                  },
                  onWork: () => undefined,
                  onTaken:
                    onTaken &&
                    ((taken) => onTaken({ source: index, lane: number, taken, isLast: taken === undefined || plan.isPastEnd(taken.end) })),
                },
                at,
              );
            const [group, window, document, token] = state[plan.name];
            const start = { group, window, document, token };
            const lane =
              lengths === undefined
                ? open(start)
                : new MeasuredLane({ lengths, plan: knownPlanOf(sources[index]), source: index, lane: number, open }, start);
            const tokensMax = source.maxTokens === undefined ? Infinity : Math.ceil(source.maxTokens / lanes);
            return { plan, lane, tokensMax, whenUsedUp: source.whenUsedUp };
          }),
          state,
          countedLength(config.sequence.packing, config.sequence.length),
          Infinity,
          config.sequence.packing.kind === 'samples' ? 'samples' : 'tokens',
        ),
      openMixture: (taken, step) => new MixtureTimeline({ ...weighed, taken, log }, step),
    });
  }

  /** As `openStream` of a pipeline. */
  open(rank: Rank, cursors: readonly Cursor[]): RankStream {
    const { config, sources, record } = this.#product;
    checkRank(rank, config.batch.size);
    const lanes = this.#hub.lanesOf(rank);
    if (cursors.length === 0) return this.#hub.open(rank, 0, firstStates(lanes, sources), []);
    for (const cursor of cursors) checkCursorPlan(cursor, record);
    const cursor = cursors.length === 1 ? cursors[0] : mergeCursors(cursors);
    const names = sources.map(({ plan }) => plan.name);
    return this.#hub.open(rank, cursor.step, lanesOfCursor(cursor, lanes, names), cursor.mixture);
  }

  kill(): void {
    this.#hub.close();
  }
}

/** What a worker does with a window, at some later moment; now and then the worker is lost, and another one goes on where it stood. */
class Window {
  readonly #open: () => WindowDocuments | WindowSamples;
  readonly #config: Config;
  readonly #scheduler: Scheduler;
  #position: PackPosition;
  #held: { readonly documents: WindowDocuments | WindowSamples; readonly packer: ReturnType<typeof createPacker> } | undefined;
  #isClosed = false;

  constructor(
    config: Config,
    { plan }: PlannedSource,
    sourceIndex: number,
    shards: ReferenceSource['shards'],
    place: WindowPlace,
    from: PackPosition,
    scheduler: Scheduler,
  ) {
    this.#config = config;
    this.#scheduler = scheduler;
    this.#position = from;
    this.#open = () => {
      const window = knownPlanOf({ plan }).window(place);
      const rows = new Map<unknown, SliceRows>();
      const slices = window.slices.map(({ block, startRow, endRow }) => {
        const encoded: OmittedSlice = { format: 'omitted', uri: `memory://x/${block.shard}`, rows: endRow - startRow };
        rows.set(encoded, tokenRows(sourceIndex, block.shard, shards[block.shard].flatMap((unit) => unit.rows), startRow, endRow)); // prettier-ignore
        const place = { shard: block.shard, path: `s${block.shard}`, startRow, blockStartRow: block.startRow };
        return { ...place, encoded, beside: undefined, again: false, tokens: undefined };
      });
      const payload = { sourceIndex, kind: 'tokens', slices, epoch: 0, orderKey: window.orderKey, selection: undefined } as const;
      const options = {
        encoder: undefined,
        appendId: undefined,
        idsEnd: 2 ** 31,
        rowTokens: config.sequence.packing.kind === 'none' ? config.sequence.length : undefined,
        badRows: config.badRows,
        invalidUtf8: 'error' as const,
        decode: (index: number) => ({ slice: slices[index], rows: rows.get(slices[index].encoded)! }),
        decodeBeside: () => {
          throw new Error('nothing is beside the rows');
        },
      };
      const documents = new WindowDocuments(payload, options);
      return config.sequence.packing.kind === 'samples' ? new WindowSamples(documents, new SampleFields(payload, options, [])) : documents;
    };
  }

  async next(sequencesMax: number): Promise<PackResult> {
    await this.#scheduler.turn();
    if (this.#isClosed) throw new HeadraceError('ABORTED', 'the window was closed');
    if (this.#scheduler.below(8) === 0) this.#held = undefined;
    const { length, packing } = this.#config.sequence;
    const { documents, packer } = (this.#held ??= { documents: this.#open(), packer: createPacker(packing) });
    const writer = new SequenceWriter({ length, padId: PAD_ID, sequencesMax, provenance: documents.rows });
    this.#position = packer.pack(documents, this.#position, writer);
    const { rowsSkipped, rowsExcluded, rowsFiltered, skipped } = documents.rows.takeWork();
    const rows = { rowsSkipped, rowsExcluded, rowsFiltered, skipped };
    const work = { ...rows, decodeMs: 0, tokenizeMs: 0, tokenizedBytes: 0, packMs: 0, tokensTruncated: writer.dropped };
    const { count } = documents;
    return { chunk: writer.toChunk(), end: this.#position, documents: count, done: this.#position.document >= count, work };
  }

  close(): void {
    this.#isClosed = true;
  }
}

function tokenRows(source: number, shard: number, tokens: readonly number[], startRow: number, endRow: number): SliceRows {
  const bounds = [0];
  const ids: number[] = [];
  for (let row = startRow; row < endRow; row++) {
    for (let index = 0; index < tokens[row]; index++) ids.push(tokenId(source, shard, row, index));
    bounds.push(ids.length);
  }
  const count = endRow - startRow;
  return { kind: 'tokens', count, bounds: Int32Array.from(bounds), ids: Int32Array.from(ids), valid: undefined, idsBelow: undefined };
}

function shardsOf({ shards }: ReferenceSource): Shard[] {
  return shards.map((units, index) => {
    let rows = 0;
    const made = units.map(({ bytes, rows: own }) => {
      const unit = { startRow: rows, rows: own.length, decodedBytes: bytes, storedBytes: bytes, layout: null };
      rows += own.length;
      return unit;
    });
    const name = `s${String(index).padStart(3, '0')}`;
    return { path: name, uri: `memory://x/${name}`, size: 1, etag: 'e', contentId: 'c', rows, units: made, layout: null };
  });
}
