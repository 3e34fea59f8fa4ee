/**
 * The whole plan once more, in the plainest way: what docs/concepts.md and docs/packing.md say, with arrays where the product has arithmetic and cursors.
 * It shares no code with the product. Slow, and meant to be read beside those pages.
 */
import { choose, sharesOf, UNITS, weightsOf, type Change } from './reference-mixture.js';
import { permutation, range, sum } from './reference-order.js';
import { pack, type Document, type Packing, type Segment } from './reference-packing.js';

export interface ReferenceSource {
  readonly name: string;
  readonly weight: number;
  readonly epochs: number | undefined;
  readonly maxTokens: number | undefined;
  readonly whenUsedUp: 'drop' | 'stop' | 'repeat';
  /** By shard and row group: its decoded bytes, and the tokens of each row. */
  readonly shards: readonly (readonly { readonly bytes: number; readonly rows: readonly number[] }[])[];
}
export interface ReferencePlan {
  readonly seed: number;
  readonly lanes: number;
  readonly batch: number;
  readonly length: number;
  readonly last: 'drop' | 'pad';
  readonly packing: Packing;
  /** 0 blocks: file order. */
  readonly shuffleBlocks: number;
  readonly windowBytes: number;
  /** Scheduled and live. */
  readonly changes: readonly Change[];
  /** In order of name. */
  readonly sources: readonly ReferenceSource[];
}

const spread = (part: number, parts: number, whole: number): number => Math.floor((part * whole) / parts);

/** Row groups with rows, cut where they are larger than four windows, or where there would be fewer than four blocks a lane. */
function blocksOf({ shards }: ReferenceSource, { lanes, windowBytes }: ReferencePlan): { bytes: number; documents: Document[] }[] {
  const groups = shards.flatMap((units, shard) => {
    const starts = units.map((_, unit) => sum(units.slice(0, unit).map(({ rows }) => rows.length)));
    return units.map(({ bytes, rows }, unit) => ({
      bytes,
      documents: rows.map((tokens, i): Document => [shard, starts[unit] + i, tokens]),
    }));
  });
  const filled = groups.filter(({ documents }) => documents.length > 0);
  return filled.flatMap(({ bytes, documents }) => {
    const rows = documents.length;
    const parts = Math.min(rows, Math.max(Math.ceil((4 * lanes) / filled.length), Math.ceil(bytes / (4 * windowBytes))));
    return range(parts).map((part) => {
      const own = documents.slice(spread(part, parts, rows), spread(part + 1, parts, rows));
      return { bytes: Math.ceil((bytes * own.length) / rows), documents: own };
    });
  });
}

/** The windows of a lane in one source, and whether each is the last. */
function* windowsOf(source: ReferenceSource, lane: number, plan: ReferencePlan): Generator<{ documents: Document[]; isLast: boolean }> {
  const blocks = blocksOf(source, plan);
  const blocksMax = Math.max(1, Math.min(Math.floor(blocks.length / (4 * plan.lanes)), plan.shuffleBlocks));
  const bounds = [0]; // the first groups of an epoch are smaller: one block a lane, then 2, 4 …
  for (let end = 0; end < blocks.length; bounds.push(end)) end += Math.min(blocksMax, 2 ** Math.floor((bounds.length - 1) / plan.lanes));
  const groups = bounds.length - 1;
  const end = (source.epochs ?? Infinity) * groups;
  for (let group = lane; group < end; group += plan.lanes) {
    const epoch = Math.floor(group / groups);
    const order = plan.shuffleBlocks > 0 ? permutation(['blocks', plan.seed, source.name, epoch], blocks.length) : range(blocks.length);
    const slices = order.slice(bounds[group % groups], bounds[(group % groups) + 1]).map((index) => {
      const { bytes, documents } = blocks[index];
      const count = Math.max(1, Math.min(documents.length, Math.ceil(bytes / (plan.windowBytes / blocksMax))));
      return range(count).map((j) => documents.slice(spread(j, count, documents.length), spread(j + 1, count, documents.length)));
    });
    const windows = Math.max(...slices.map(({ length }) => length));
    for (const window of range(windows)) {
      const lying = slices.flatMap((own) => own.at(window) ?? []);
      const documents =
        plan.shuffleBlocks > 0 ? permutation(['rows', plan.seed, source.name, group, window], lying.length).map((i) => lying[i]) : lying;
      yield { documents, isLast: group + plan.lanes >= end && window === windows - 1 };
    }
  }
}

/** What a lane has left of a source, and what the mixture remembers of it. */
interface LaneSource extends ReferenceSource {
  readonly sequences: Iterator<{ sequence: readonly Segment[]; isLast: boolean }>;
  usedUp: boolean;
  delivered: number;
  /** Tokens due less tokens delivered, in 2⁻²⁴ of a token. */
  credit: number;
}

function laneSource(source: ReferenceSource, index: number, lane: number, plan: ReferencePlan): LaneSource {
  function* sequences(): Generator<{ sequence: readonly Segment[]; isLast: boolean }> {
    for (const { documents, isLast } of windowsOf(source, lane, plan)) {
      const packed = pack(documents, index, plan.packing, plan.length);
      for (const [i, sequence] of packed.sequences.entries())
        yield { sequence, isLast: isLast && i === packed.sequences.length - 1 && packed.behind === documents.length };
    }
  }
  const usedUp = windowsOf(source, lane, plan).next().done === true;
  return { ...source, sequences: sequences(), usedUp, delivered: 0, credit: 0 };
}

function take(lane: readonly LaneSource[], weights: ReadonlyMap<string, number>, plan: ReferencePlan): readonly Segment[] | undefined {
  for (;;) {
    const active = lane.filter(({ usedUp }) => !usedUp);
    if (lane.some(({ usedUp, whenUsedUp }) => usedUp && whenUsedUp === 'stop')) return undefined;
    const ending = (sources: readonly LaneSource[]): boolean => sources.some(({ whenUsedUp }) => whenUsedUp !== 'repeat');
    if (ending(lane) && !ending(active)) return undefined;
    const shares = sharesOf(active.map(({ name }) => weights.get(name)!));
    const chosen = choose(active, shares, plan.packing === 'samples' ? 1 : plan.length);
    if (chosen === undefined) return undefined;
    const next = chosen.sequences.next();
    if (next.done === true) {
      chosen.usedUp = true; // what it had left held no tokens
      continue;
    }
    // a sample counts as one, whatever it holds
    const tokens = plan.packing === 'samples' ? 1 : sum(next.value.sequence.map((segment) => segment[4]));
    for (const [i, source] of active.entries()) source.credit += shares[i] * tokens;
    chosen.credit -= UNITS * tokens;
    chosen.delivered += tokens;
    chosen.usedUp = next.value.isLast || chosen.delivered >= Math.ceil((chosen.maxTokens ?? Infinity) / plan.lanes);
    return next.value.sequence;
  }
}

/** By step and slot. At most `stepsMax` steps; a sequence of padding alone has no segments. */
export function referenceStream(plan: ReferencePlan, stepsMax: number): (readonly Segment[])[][] {
  const lanes = range(plan.lanes).map((lane) => plan.sources.map((source, index) => laneSource(source, index, lane, plan)));
  const steps: (readonly Segment[])[][] = [];
  for (const weights of weightsOf(plan.sources, plan.changes)) {
    const slots: (readonly Segment[])[] = [];
    for (const slot of range(steps.length < stepsMax ? plan.batch : 0)) {
      let sequence: readonly Segment[] | undefined;
      // a lane that has ended leaves its slots to the next ones
      for (let i = 0; sequence === undefined && i < plan.lanes; i++) sequence = take(lanes[(slot + i) % plan.lanes], weights, plan);
      if (sequence === undefined) break;
      slots.push(sequence);
    }
    if (slots.length === 0 || (slots.length < plan.batch && plan.last === 'drop')) break;
    steps.push(range(plan.batch).map((slot) => slots.at(slot) ?? []));
  }
  return steps;
}
