/** One lane: takes each sequence from the source whose turn it is by the weights of the step, and knows its own position exactly. */
import type { Sequence } from '../core/sequence.js';
import type { LanePosition, LaneState } from '../plan/cursor.js';
import { chooseSource, SHARE_UNITS, sharesOfWeights } from '../plan/mixture.js';
import type { SourcePlan, WindowPlace } from '../plan/source-plan.js';
import type { PassedSequence, PlacedSequence } from './source-lane.js';

/** What happens in a lane when a source is used up: it leaves the mixture, or the lane ends. `repeat`: it has no end, and keeps no lane from ending. */
export type WhenUsedUp = 'drop' | 'stop' | 'repeat';

/** One lane of one source, as a lane sees it. */
export interface SequenceSource {
  /** The next sequence; undefined after the last one. */
  take(): Promise<PlacedSequence | undefined>;
  /** The next sequence if it is there already; undefined says no more than that `take` has to be asked. */
  takeReady?(): PlacedSequence | undefined;
  /** Goes over the next sequence, which nobody here wants. Without lengths all are wanted. */
  pass?(): Promise<PassedSequence | undefined>;
  /** Asks for sequences ahead of need. */
  start(): void;
  readonly readySequences: number;
  /** Where it stands when it is used up. */
  readonly place: WindowPlace;
  close(): void;
}

export interface LaneSource {
  readonly plan: SourcePlan;
  readonly lane: SequenceSource;
  /** Tokens after which the source is used up in this lane, beside its plan's end. */
  readonly tokensMax: number;
  readonly whenUsedUp: WhenUsedUp;
}

interface LaneEntry extends LaneSource {
  position: LanePosition;
}

interface Turn {
  readonly active: readonly LaneEntry[];
  readonly shares: readonly number[];
  readonly entry: LaneEntry;
}

export class Lane {
  readonly #entries: readonly LaneEntry[];
  readonly #length: number;
  readonly #counted: 'tokens' | 'samples';
  readonly #stepsWanted: number;
  /** Those that are not used up. */
  #active: readonly LaneEntry[];
  #ended: boolean;
  /** Integer shares of the sources that are not used up, as long as neither they nor the weights change. */
  #shares: { readonly weights: readonly number[]; readonly active: number; readonly values: readonly number[] } | undefined;

  /**
   * `state`: the position in every source. `length`: tokens of a sequence, at most as many as are counted. `stepsWanted`: steps that it is opened for.
   * `counted`: what shares and ends are counted in; a sample counts as one, whatever it holds, with a `length` of 1.
   */
  constructor(
    sources: readonly LaneSource[],
    state: LaneState,
    length: number,
    stepsWanted = Infinity,
    counted: 'tokens' | 'samples' = 'tokens',
  ) {
    this.#entries = sources.map((source) => ({ ...source, position: state[source.plan.name] }));
    this.#length = length;
    this.#stepsWanted = stepsWanted;
    this.#counted = counted;
    this.#active = this.#entries.filter((entry) => !isUsedUp(entry));
    this.#ended = this.#hasEnded(this.#active);
  }

  /** The next sequence at these weights, in the order of the sources; undefined where no source has one, which at a weight of 0 it has not. */
  async take(weights: readonly number[]): Promise<Sequence | undefined> {
    const taken = await this.#advance(weights, (lane) => lane.take());
    return taken?.sequence;
  }

  /** What `take` would give, if it is there already, as most sequences are: then nobody waits for a promise. Undefined: `take` has to be asked. */
  takeReady(weights: readonly number[]): Sequence | undefined {
    const turn = this.#turn(weights);
    const next = turn?.entry.lane.takeReady?.();
    if (turn === undefined || next === undefined) return undefined;
    this.#moveOn(turn, next);
    return next.sequence;
  }

  /** Goes over the sequence that `take` would give: it is made elsewhere. Whether there was one. */
  async pass(weights: readonly number[]): Promise<boolean> {
    const passed = await this.#advance<PassedSequence>(weights, (lane) => lane.pass?.() ?? lane.take());
    return passed !== undefined;
  }

  async #advance<Next extends PassedSequence>(
    weights: readonly number[],
    nextOf: (lane: SequenceSource) => Promise<Next | undefined>,
  ): Promise<Next | undefined> {
    for (;;) {
      const turn = this.#turn(weights);
      if (turn === undefined) return undefined;
      const { entry } = turn;
      const next = await nextOf(entry.lane);
      if (next !== undefined) {
        this.#moveOn(turn, next);
        return next;
      }
      // its last windows held no tokens: the position says from now on that it has ended, so a resumed lane weighs the same sources
      const [, , , , delivered, credit] = entry.position;
      entry.position = [entry.lane.place.group, entry.lane.place.window, 0, 0, delivered, credit];
    }
  }

  #moveOn({ active, shares, entry }: Turn, { tokens, end }: PassedSequence): void {
    const count = this.#counted === 'samples' ? 1 : tokens;
    for (let i = 0; i < active.length; i++) {
      const other = active[i];
      const before = other.position;
      const credit = before[5] + shares[i] * count;
      other.position =
        other === entry
          ? [end.group, end.window, end.document, end.token, before[4] + count, credit - SHARE_UNITS * count]
          : [before[0], before[1], before[2], before[3], before[4], credit];
    }
  }

  get state(): LaneState {
    if (this.#entries.length === 1) return { [this.#entries[0].plan.name]: this.#entries[0].position };
    return Object.fromEntries(this.#entries.map(({ plan, position }) => [plan.name, position]));
  }

  get readySequences(): number {
    return this.#entries.reduce((sum, { lane }) => sum + lane.readySequences, 0);
  }

  /** Asks for sequences ahead of need, from the sources that have a weight now; for a known number of steps, from the one whose turn it is. */
  start(weights: readonly number[]): void {
    if (Number.isFinite(this.#stepsWanted)) this.#turn(weights)?.entry.lane.start();
    else for (const [i, entry] of this.#entries.entries()) if (weights[i] > 0 && !isUsedUp(entry)) entry.lane.start();
  }

  close(): void {
    for (const { lane } of this.#entries) lane.close();
  }

  /** The source that the next sequence is taken from, of those that are not used up, and their shares; undefined where there is none. */
  #turn(weights: readonly number[]): Turn | undefined {
    if (this.#active.some(isUsedUp)) {
      this.#active = this.#active.filter((entry) => !isUsedUp(entry)); // for good
      this.#ended = this.#hasEnded(this.#active);
    }
    if (this.#ended) return undefined;
    const active = this.#active;
    const shares = this.#sharesOf(active, weights);
    if (active.length === 1) return shares[0] > 0 ? { active, shares, entry: active[0] } : undefined;
    const chosen = chooseSource(
      active.map(({ plan, position }, i) => ({ name: plan.name, share: shares[i], credit: position[5] })),
      this.#length,
    );
    return chosen < 0 ? undefined : { active, shares, entry: active[chosen] };
  }

  /** A source that stops the others is used up, or only sources are left that repeat beside others that did not. */
  #hasEnded(active: readonly LaneEntry[]): boolean {
    if (this.#entries.some((entry) => entry.whenUsedUp === 'stop' && !active.includes(entry))) return true;
    const isEnding = (entry: LaneEntry): boolean => entry.whenUsedUp !== 'repeat';
    return this.#entries.some(isEnding) && !active.some(isEnding);
  }

  #sharesOf(active: readonly LaneEntry[], weights: readonly number[]): readonly number[] {
    // sources are used up for good, so that their number tells which are left
    if (this.#shares?.weights !== weights || this.#shares.active !== active.length) {
      const own = active.map((entry) => weights[this.#entries.indexOf(entry)]);
      this.#shares = { weights, active: active.length, values: sharesOfWeights(own) };
    }
    return this.#shares.values;
  }
}

function isUsedUp({ plan, tokensMax, position }: LaneEntry): boolean {
  return plan.isPastEnd({ group: position[0], window: position[1] }) || position[4] >= tokensMax;
}
