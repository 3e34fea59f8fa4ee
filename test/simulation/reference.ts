/**
 * The whole plan once more, in the plainest way: what docs/concepts.md and docs/packing.md say, with lists where the product has arithmetic and cursors.
 * It shares no code with the product, nor with anything else. Slow, and meant to be read beside those pages.
 *
 *   blocks of row groups ─▶ groups ─▶ windows ─▶ sequences (reference-packing.ts) ─▶ lanes, each mixing its sources by weight ─▶ steps
 */
import { pack } from './reference-packing.js';
import { cut, permuted, range, sum } from './reference-permutation.js';
import type { Document, ReferencePlan, ReferenceSource, Segment } from './reference-types.js';

type Source = ReferenceSource & { next: () => { sequence: Segment[]; isLast: boolean } | undefined } & Record<'delivered' | 'credit', number> & { usedUp: boolean }; // prettier-ignore

/** Weights, and tokens due less tokens delivered, are in 2⁻²⁴. */
const UNITS = 2 ** 24;

/** Row groups with rows, cut where they are larger than four windows, or where there would be fewer than four blocks a lane. */
function blocksOf({ shards }: ReferenceSource, { lanes, windowBytes }: ReferencePlan): { bytes: number; documents: Document[] }[] {
  const filled = shards.flatMap((units, shard) => {
    const documents = units.flatMap(({ rows }) => rows).map((tokens, row): Document => [shard, row, tokens]);
    return units.map(({ bytes, rows }) => ({ bytes, documents: documents.splice(0, rows.length) })).filter((unit) => unit.documents.length > 0); // prettier-ignore
  });
  return filled.flatMap(({ bytes, documents }) => {
    const parts = Math.max(Math.ceil((4 * lanes) / filled.length), Math.ceil(bytes / (4 * windowBytes)));
    const cutInto = cut(documents, Math.min(documents.length, parts));
    return cutInto.map((own) => ({ bytes: Math.ceil((bytes * own.length) / documents.length), documents: own }));
  });
}

/** Windows of a lane in one source, and whether each is the last. */
function* windowsOf(source: ReferenceSource, lane: number, plan: ReferencePlan): Generator<{ documents: Document[]; isLast: boolean }> {
  const [blocks, isShuffled] = [blocksOf(source, plan), plan.shuffleBlocks > 0];
  const most = Math.max(1, Math.min(Math.ceil(blocks.length / plan.lanes), plan.shuffleBlocks));
  const sizes: number[] = []; // of the groups of an epoch: one block a lane, then 2, 4 … while that is at most an eighth; then evenly
  for (let size = 1; size < most && 8 * plan.lanes * (2 * size - 1) <= blocks.length; size *= 2)
    sizes.push(...range(plan.lanes).fill(size));
  const rest = range(blocks.length - sum(sizes));
  sizes.push(...cut(rest, Math.min(rest.length, plan.lanes * Math.ceil(rest.length / (plan.lanes * most)))).map(({ length }) => length));
  const groupsEnd = (source.epochs ?? Infinity) * sizes.length;
  for (let group = lane; group < groupsEnd; group += plan.lanes) {
    const order = isShuffled ? permuted(['blocks', plan.seed, source.name, Math.floor(group / sizes.length)], blocks) : blocks;
    const at = group % sizes.length;
    const slices = order.slice(sum(sizes.slice(0, at)), sum(sizes.slice(0, at + 1))).map(({ bytes, documents }) => cut(documents, Math.max(1, Math.min(documents.length, Math.ceil(bytes / (plan.windowBytes / Math.max(...sizes))))))); // prettier-ignore
    const windows = range(Math.max(...slices.map(({ length }) => length)));
    for (const window of windows) {
      const lying = slices.flatMap((own) => own.at(window) ?? []);
      const documents = isShuffled ? permuted(['rows', plan.seed, source.name, group, window], lying) : lying;
      yield { documents, isLast: group + plan.lanes >= groupsEnd && window === windows.length - 1 };
    }
  }
}

/** Weights as whole numbers of UNITS, by largest remainder; a weight above 0 gets at least one. */
function sharesOf(weights: readonly number[]): number[] {
  const exact = weights.map((weight) => (sum(weights) === 0 ? 0 : (weight / sum(weights)) * UNITS));
  const shares = exact.map((share, i) => Math.max(Math.floor(share), weights[i] > 0 ? 1 : 0));
  const order = range(weights.length).filter((i) => exact[i] >= 1).sort((a, b) => (exact[b] % 1) - (exact[a] % 1) || a - b); // prettier-ignore
  for (let i = 0; sum(exact) > 0 && sum(shares) < UNITS; i++) shares[order[i % order.length]]++;
  if (sum(shares) > UNITS) shares[shares.indexOf(Math.max(...shares))] -= sum(shares) - UNITS;
  return shares;
}

/** Of the sources that may be served already, the one whose next sequence would be late first (Tijdeman), in doubles and in this order of operations. */
function choose(active: readonly Source[], shares: readonly number[], length: number): Source | undefined {
  const mixed = active.map((source, i) => ({ source, share: shares[i] })).filter(({ share }) => share > 0);
  const surplus = sum(mixed.map(({ source }) => source.credit)) / UNITS;
  const slack = mixed.length > 1 ? 1 / (2 * mixed.length - 2) : 1;
  const rated = mixed.map(({ source, share }) => {
    const due = (source.credit - surplus * share) / UNITS / length + share / UNITS;
    return { source, isReady: due >= slack, deadline: (1 - slack - due) / share };
  });
  const queue = rated.some(({ isReady }) => isReady) ? rated.filter(({ isReady }) => isReady) : rated;
  return queue.sort((a, b) => a.deadline - b.deadline || (a.source.name < b.source.name ? -1 : 1)).at(0)?.source;
}

/** Weights step by step. A ramp that is under way ends where the next change begins. */
function* weightsOf({ sources, changes }: ReferencePlan): Generator<readonly number[]> {
  let from = sources.map(({ weight }) => weight);
  let change: ReferencePlan['changes'][number] = { at: 0, ramp: 0, weights: {} };
  for (let step = 0; ; step++) {
    const at = (): number[] => {
      const part = change.ramp > 1 ? Math.min(1, (step - change.at + 1) / change.ramp) : 1;
      return from.map((weight, i) => weight + ((change.weights[sources[i].name] ?? weight) - weight) * part);
    };
    for (const next of changes.filter((other) => other.at === step)) [from, change] = [at(), next];
    yield at();
  }
}

function laneSource(source: ReferenceSource, index: number, lane: number, plan: ReferencePlan): Source {
  function* sequences(): Generator<{ sequence: Segment[]; isLast: boolean }> {
    for (const { documents, isLast } of windowsOf(source, lane, plan)) {
      const packed = pack(documents, index, plan);
      const endsHere = isLast && packed.behind === documents.length;
      for (const [i, sequence] of packed.sequences.entries()) yield { sequence, isLast: endsHere && i === packed.sequences.length - 1 };
    }
  }
  const usedUp = windowsOf(source, lane, plan).next().done === true;
  const all = sequences();
  return { ...source, next: () => all.next().value as ReturnType<Source['next']>, usedUp, delivered: 0, credit: 0 };
}

/** The next sequence of a lane; `undefined`: it has ended. A sample counts as one token, whatever it holds. */
function take(lane: readonly Source[], weights: readonly number[], plan: ReferencePlan): Segment[] | undefined {
  for (;;) {
    const active = lane.filter(({ usedUp }) => !usedUp);
    if (lane.some(({ usedUp, whenUsedUp }) => usedUp && whenUsedUp === 'stop')) return undefined;
    const ends = ({ whenUsedUp }: Source): boolean => whenUsedUp !== 'repeat';
    if (lane.some(ends) && !active.some(ends)) return undefined;
    const shares = sharesOf(weights.filter((_, i) => !lane[i].usedUp));
    const chosen = choose(active, shares, plan.packing === 'samples' ? 1 : plan.length);
    if (chosen === undefined) return undefined;
    const next = chosen.next();
    chosen.usedUp = next?.isLast ?? true; // what it had left held no tokens
    if (next === undefined) continue;
    const tokens = plan.packing === 'samples' ? 1 : sum(next.sequence.map((segment) => segment[4]));
    for (const [i, source] of active.entries()) source.credit += shares[i] * tokens;
    chosen.credit -= UNITS * tokens;
    chosen.delivered += tokens;
    if (chosen.delivered >= Math.ceil((chosen.maxTokens ?? Infinity) / plan.lanes)) chosen.usedUp = true;
    return next.sequence;
  }
}

/** By step and slot. At most `stepsMax` steps; a sequence of padding alone has no segments. */
export function referenceStream(plan: ReferencePlan, stepsMax: number): (readonly Segment[])[][] {
  const lanes = range(plan.lanes).map((lane) => plan.sources.map((source, index) => laneSource(source, index, lane, plan)));
  const steps: Segment[][][] = [];
  for (const weights of weightsOf(plan)) {
    const slots: Segment[][] = [];
    for (const slot of range(steps.length < stepsMax ? plan.batch : 0)) {
      let sequence: Segment[] | undefined;
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
