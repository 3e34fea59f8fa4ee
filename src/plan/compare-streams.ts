/**
 * Where two streams part: compares their plans, the weights of every step and the positions of their lanes, and says before which step they are equal for
 * certain. Pure: what depends on the data is said so, and not guessed.
 */
import { differingEntries, type Cursor, type LanePosition, type LaneStates, type PlanRecord } from './cursor.js';
import { sameChanges, weightsAt, type MixtureChange } from './mixture-changes.js';

/** What is known of a stream, from a state or a configuration. */
export interface StreamView {
  readonly plan: PlanRecord;
  /** Where it stands: of a configuration, 0. */
  readonly step: number;
  /** Changes of weights that were made while running. */
  readonly mixture: readonly MixtureChange[];
  /** Those of steps before this one are all in `mixture`. `Infinity`: no other can be made. */
  readonly mixtureKnownBefore: number;
  /** `undefined`: where a stream starts. */
  readonly lanes: LaneStates | undefined;
}

export type EntryValue = string | number | boolean | null;

/** An entry in which plans differ. A value that is not there is `undefined`. */
export interface EntryDifference {
  readonly field: string;
  readonly a: EntryValue | undefined;
  readonly b: EntryValue | undefined;
  /** As far as this entry goes, all steps before this one are equal. `Infinity`: all are. */
  readonly equalBefore: number;
  /** What happens from there on. */
  readonly why: string;
}

export interface PositionDifference {
  readonly lane: string;
  readonly source: string;
  readonly a: LanePosition | undefined;
  readonly b: LanePosition | undefined;
}

export interface StreamComparison {
  /** `open`: they may part by a change of weights that only one of the two can know of. */
  readonly verdict: 'equal' | 'differ' | 'open';
  /** All steps before this one are equal. `Infinity`: all are. */
  readonly equalBefore: number;
  /** Why they part there, or what equality is said under. */
  readonly why: string;
  readonly entries: readonly EntryDifference[];
  /** Changes that were made while running, of one stream and not of the other. */
  readonly changes: { readonly a: readonly MixtureChange[]; readonly b: readonly MixtureChange[] };
  /** Where they stand differently: as they should where their steps differ. */
  readonly positions: readonly PositionDifference[];
}

/** Steps that are looked at one by one between changes of weights; beyond, equality is not claimed. */
const STEPS_SCANNED_MAX = 100_000;

export function viewOfCursor({ plan, step, mixture, lanes }: Cursor): StreamView {
  // only training's weights can be changed while it runs
  return { plan, step, mixture, mixtureKnownBefore: plan.split === 'validation' ? Infinity : step, lanes };
}

export function compareStreams(a: StreamView, b: StreamView): StreamComparison {
  const weights = firstWeightDifference(a, b);
  const entries = differingEntries(a.plan, b.plan).map((field) => compareEntry(field, a.plan, b.plan, weights));
  const changes = {
    a: a.mixture.filter((change) => !holds(b.mixture, change)),
    b: b.mixture.filter((change) => !holds(a.mixture, change)),
  };
  const positions = differingPositions(a.lanes, b.lanes);
  const common = { entries, changes, positions };
  const known = Math.min(a.mixtureKnownBefore, b.mixtureKnownBefore);

  const first = entries.toSorted((x, y) => x.equalBefore - y.equalBefore).at(0);
  const live = weights < known ? weights : Infinity;
  if (first !== undefined && first.equalBefore < Infinity && first.equalBefore <= live) {
    return { verdict: 'differ', equalBefore: first.equalBefore, why: first.why, ...common };
  }
  if (live < Infinity) return { verdict: 'differ', equalBefore: live, why: weightsWhy(live), ...common };
  const broken = entries.length === 0 ? impossiblePosition(a, b, positions) : undefined;
  if (broken !== undefined) return { verdict: 'differ', equalBefore: 0, why: broken, ...common };
  if (weights < Infinity) {
    const why = `a change of the weights from step ${weights} on, made while running, is known to one of them only: they are equal if the other takes it too`;
    return { verdict: 'open', equalBefore: weights, why, ...common };
  }
  return { verdict: 'equal', equalBefore: Infinity, why: equalWhy(known), ...common };
}

function equalWhy(known: number): string {
  if (known === Infinity) return 'every batch is the same';
  return `every batch is the same, unless the weights of the one are changed while it runs and those of the other are not, from step ${known} on`;
}

function weightsWhy(step: number): string {
  return `the weights of the sources differ from step ${step} on: the batches do from the first sequence on that another source's turn it is`;
}

function holds(changes: readonly MixtureChange[], change: MixtureChange): boolean {
  return changes.some((other) => sameChanges([other], [change]));
}

/** The first step whose weights are not the same numbers; `Infinity` where there is none. */
export function firstWeightDifference(a: StreamView, b: StreamView): number {
  const names = [...new Set([...namesOf(a.plan), ...namesOf(b.plan)])];
  const [left, right] = [timelineOf(a, names), timelineOf(b, names)];
  if (names.length === 1 && left.always && right.always) return Infinity; // all of it is of the one source
  const ends = [...left.changes, ...right.changes].map(({ at, ramp }) => at + ramp);
  const start = firstOther(left, right);
  const scanEnd = Math.max(0, ...ends) + 1;
  const starts = [0, ...[...left.changes, ...right.changes].map(({ at }) => at)].sort((x, y) => x - y);
  let scanned = 0;
  for (let step = start; step < scanEnd; step++) {
    const [own, other] = [left.at(step), right.at(step)];
    if (own.some((weight, i) => weight !== other[i])) return step;
    if (isSettled(left.changes, step) && isSettled(right.changes, step)) {
      // nothing moves before the next change
      const next = starts.find((start) => start > step);
      if (next === undefined) return Infinity;
      step = next - 1;
    } else if (++scanned >= STEPS_SCANNED_MAX) return step + 1;
  }
  return Infinity;
}

interface Timeline {
  /** As the configuration has them at step 0. */
  readonly weights: readonly number[];
  /** In order of step. */
  readonly changes: readonly MixtureChange[];
  readonly at: (step: number) => readonly number[];
  /** No weight is ever 0. */
  readonly always: boolean;
}

function timelineOf({ plan, mixture }: StreamView, names: readonly string[]): Timeline {
  const weights = names.map((name) => Number(plan[`sources.${name}.weight`] ?? 0));
  const changes = [...scheduledOf(plan), ...mixture].toSorted((x, y) => x.at - y.at);
  const always = [...weights, ...changes.flatMap((change) => Object.values(change.weights))].every((weight) => weight > 0);
  return { weights, changes, at: (step) => weightsAt(names, weights, changes, step), always };
}

/** The step of the first change that the other has not; before it both are computed from the same numbers. `Infinity`: there is none. */
function firstOther(a: Timeline, b: Timeline): number {
  if (a.weights.some((weight, i) => weight !== b.weights[i])) return 0;
  const other = a.changes.findIndex((change, i) => i >= b.changes.length || !sameChanges([change], [b.changes[i]]));
  const index = other === -1 ? a.changes.length : other;
  return Math.min(a.changes.at(index)?.at ?? Infinity, b.changes.at(index)?.at ?? Infinity);
}

/** What `planRecord` writes. */
function scheduledOf({ mixture }: PlanRecord): readonly MixtureChange[] {
  return typeof mixture === 'string' ? (JSON.parse(mixture) as MixtureChange[]) : [];
}

/** No ramp is under way at this step. */
function isSettled(changes: readonly MixtureChange[], step: number): boolean {
  return changes.every(({ at, ramp }) => at > step || at + ramp <= step + 1);
}

function namesOf(plan: PlanRecord): string[] {
  return Object.keys(plan).flatMap((field) => /^sources\.(.+)\.weight$/.exec(field)?.[1] ?? []);
}

/** Where an entry makes itself felt. The first that fits counts; `at`: the step before which all are equal. */
interface Rule {
  readonly field: RegExp;
  readonly when?: (a: PlanRecord, b: PlanRecord) => boolean;
  readonly equalBefore?: (a: PlanRecord, b: PlanRecord, source: string) => number;
  readonly why: string;
}

const bothAre =
  (field: string, value: EntryValue) =>
  (a: PlanRecord, b: PlanRecord): boolean =>
    a[field] === value && b[field] === value;

const RULES: readonly Rule[] = [
  {
    field: /^split$/,
    when: (a, b) => a.split === 'validation' || b.split === 'validation',
    why: 'one is training, and the other the documents that are held out of it: from step 0 on',
  },
  // a plan without validation says nothing of splits
  { field: /^(split|validation\..+)$/, why: 'other documents are held out of training: from the first one on, possibly at step 0' },
  {
    field: /^seed$/,
    when: bothAre('shuffle.blocks', null),
    equalBefore: () => Infinity,
    why: 'nothing is shuffled, so that the seed does not matter',
  },
  { field: /^seed$/, why: 'another seed, another order: from step 0 on' },
  { field: /^shuffle\./, why: 'windows and their order are others: from step 0 on' },
  { field: /^version$/, why: 'they are of releases of headrace that order streams differently: from step 0 on' },
  { field: /^batch\.size$/, why: 'a step has another number of sequences: from step 0 on' },
  { field: /^batch\.lanes$/, why: 'lanes take other groups of blocks: from step 0 on' },
  { field: /^sequence\.(length|packing)$/, why: 'sequences are cut otherwise: from step 0 on' },
  {
    field: /^sequence\.packingTokens$/,
    why: 'documents are fitted together in other groups: where a window has more than the smaller group, possibly from step 0 on',
  },
  { field: /^sequence\.long$/, why: 'they part where the first document comes that is longer than a sequence, possibly at step 0' },
  { field: /^sequence\.padId$/, why: 'they part where the first padding comes, possibly at step 0; all other tokens are the same' },
  {
    field: /^tokenizer\.file$/,
    why: 'another tokenizer (or `specialTokens`): they part at the first text of which it makes other ids, as a rule at step 0',
  },
  { field: /^tokenizer\.append$/, why: 'they part at the end of the first document of text, possibly at step 0' },
  {
    field: /^tokenizer\.invalidUtf8$/,
    why: 'they part where the first text comes that is not valid UTF-8: one replaces what is not valid, to the other its row is a bad one',
  },
  { field: /^badRows$/, why: 'they part where the first bad row comes: one leaves it out, the other ends there' },
  { field: /^badBlocks$/, why: 'they part where the first damaged or missing block comes: one leaves its rows out, the other ends there' },
  {
    field: /^last$/,
    why: 'they part at the end of the stream: the last, incomplete step is left out or filled with padding, or there is no end',
  },
  {
    field: /^sources\.(.+)\.epochs$/,
    why: 'they part at the step at which the source is used up in a lane, after the smaller number of epochs: which step that is depends on the data',
  },
  {
    field: /^sources\.(.+)\.maxTokens$/,
    equalBefore: stepsOfMaxTokens,
    why: 'they part at the step at which the source is used up in a lane, at the smaller number of tokens: which step that is depends on the data',
  },
  {
    field: /^sources\.(.+)\.whenUsedUp$/,
    why: 'they part at the step at which the source is used up in a lane: which step that is depends on the data',
  },
  { field: /^sources\.(.+)\.(column|kind)$/, why: 'the source is read from another column: from step 0 on' },
  {
    field: /^sources\.(.+)\.exclude$/,
    why: 'they part in the first window with a document that only one of them leaves out, possibly at step 0; all other documents keep their order',
  },
  {
    field: /^sources\.(.+)\.transform$/,
    why: 'they part where the first row comes of which the transform makes something else, possibly at step 0',
  },
  {
    field: /^sources\.(.+)\.scan$/,
    why: "one shuffles the source's shards, which it opens as it reads them, and the other blocks of all of them: from step 0 on",
  },
  {
    field: /^sources\.(.+)\.manifest$/,
    why: "the source's shards are others: from step 0 on, as a rule, since the order is one over all of them",
  },
];

function compareEntry(field: string, a: PlanRecord, b: PlanRecord, weights: number): EntryDifference {
  const difference = { field, a: a[field], b: b[field] };
  const source = /^sources\.(.+)\.[^.]+$/.exec(field)?.[1] ?? '';
  const ofOne = [a, b].some((plan) => source !== '' && !(`sources.${source}.manifest` in plan));
  if (ofOne) return { ...difference, equalBefore: 0, why: `only one of them has the source ${source}: possibly from step 0 on` };
  if (field === 'mixture' || field === `sources.${source}.weight`) {
    const why = weights === Infinity ? 'the weights of every step are the same' : weightsWhy(weights);
    return { ...difference, equalBefore: weights, why };
  }
  const rule = RULES.find((candidate) => candidate.field.test(field) && (candidate.when?.(a, b) ?? true));
  if (rule === undefined) return { ...difference, equalBefore: 0, why: 'possibly from step 0 on' };
  return { ...difference, equalBefore: rule.equalBefore?.(a, b, source) ?? 0, why: rule.why };
}

/** A lane delivers its part of `maxTokens` before the source is used up there, and of no step more tokens than the step has. */
function stepsOfMaxTokens(a: PlanRecord, b: PlanRecord, source: string): number {
  const smaller = Math.min(...[a, b].map((plan) => Number(plan[`sources.${source}.maxTokens`] ?? Infinity)));
  const lanes = Number(a['batch.lanes']);
  return Math.floor(Math.ceil(smaller / lanes) / (Number(a['batch.size']) * Number(a['sequence.length'])));
}

function differingPositions(a: LaneStates | undefined, b: LaneStates | undefined): PositionDifference[] {
  if (a === undefined || b === undefined) return [];
  const lanes = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort((x, y) => Number(x) - Number(y));
  return lanes.flatMap((lane) => {
    const [own, other] = [stateOf(a, lane), stateOf(b, lane)];
    return [...new Set([...Object.keys(own), ...Object.keys(other)])].sort().flatMap((source) => {
      const [left, right] = [positionOf(own, source), positionOf(other, source)];
      const same = left !== undefined && right !== undefined && left.every((value, i) => value === right[i]);
      return same ? [] : [{ lane, source, a: left, b: right }];
    });
  });
}

function stateOf(lanes: LaneStates, lane: string): LaneStates[string] {
  return Object.hasOwn(lanes, lane) ? lanes[lane] : {};
}

function positionOf(state: LaneStates[string], source: string): LanePosition | undefined {
  return Object.hasOwn(state, source) ? state[source] : undefined;
}

/** States of one stream that cannot both be: a lane stands differently at one step, or further at the earlier one. */
function impossiblePosition(a: StreamView, b: StreamView, positions: readonly PositionDifference[]): string | undefined {
  for (const { lane, source, a: own, b: other } of positions) {
    if (own === undefined || other === undefined) continue;
    const [earlier, later] = a.step <= b.step ? [own, other] : [other, own];
    if (a.step !== b.step && isAtOrBefore(earlier, later)) continue;
    const places = `lane ${lane} stands at [${own.join(', ')}] and [${other.join(', ')}] in ${source}`;
    const problem = a.step === b.step ? `at one step ${places}` : `${places}: further at the earlier step`;
    return `${problem}: the plans are equal, so that one of the two is no state of this stream`;
  }
  return undefined;
}

/** By group, window, document and token; and as many tokens delivered at least. */
function isAtOrBefore(earlier: LanePosition, later: LanePosition): boolean {
  if (earlier[4] > later[4]) return false;
  const place = [0, 1, 2, 3].find((i) => earlier[i] !== later[i]);
  return place === undefined || earlier[place] < later[place];
}
