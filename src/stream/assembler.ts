/**
 * Assembles steps from lanes, in order, and keeps the last ones, so that the ranks of one machine share the work of the lanes that they share.
 *
 *   lanes 0 … L−1 ──slot j takes from lane j mod L──▶ step s: [slot 0 … slot B−1] ──▶ ranks, each its slots
 *
 * With lengths, lanes that other machines compute are gone over without making their sequences, so that it is known here as well when they end, and what
 * fills their slots.
 *
 * A step is made when the first rank asks for it. A rank that asks for a step that is no longer kept gets an assembler of its own, from its own cursor:
 * the plan is pure, so that costs time and changes nothing.
 */
import { LIMITS } from '../config/limits.js';
import { bytesOfSequence, type Sequence } from '../core/sequence.js';
import { sameLaneStates, type LaneState, type LaneStates } from '../plan/cursor.js';
import { sameChanges, type MixtureChange } from '../plan/mixture-changes.js';
import { laneOfSlot } from '../plan/slots.js';
import type { Lane } from './lane.js';
import type { MixtureTimeline } from './mixture-timeline.js';
import type { Stalls } from './stalls.js';

export interface Step {
  readonly step: number;
  /** By slot; only the slots of the lanes that are computed are there. */
  readonly slots: ReadonlyMap<number, Sequence>;
  /** Positions of the assembler's lanes after this step. */
  readonly lanesAfter: LaneStates;
  /** Changes of weights that were made while running, of this step and those before it. */
  readonly mixtureAfter: readonly MixtureChange[];
}

/** A step as it is made, with where its lanes stood. */
export interface MadeStep {
  readonly step: number;
  /** As in `Step`. */
  readonly slots: ReadonlyMap<number, Sequence>;
  /** By slot, the lane that filled it: where the lane whose turn it was has ended, another one. Padding has none. */
  readonly filledBy: ReadonlyMap<number, number>;
  /** Of the lanes that are computed. */
  readonly before: StreamPosition;
  readonly after: StreamPosition;
}

/** Told of each step, in order, before any rank gets it; the step waits for it. */
export type StepRecorder = (made: MadeStep) => Promise<void>;

export interface AssemblerOptions {
  readonly batchSize: number;
  readonly lanesTotal: number;
  /** By lane number, ascending. With finite epochs: all lanes, because the slots of an exhausted lane are filled from the others. */
  readonly lanes: ReadonlyMap<number, Lane>;
  /** Those whose slots are wanted. The others can only be there where they can be passed. */
  readonly computed: ReadonlySet<number>;
  readonly startStep: number;
  readonly startLanes: LaneStates;
  readonly mixture: MixtureTimeline;
  readonly last: 'drop' | 'pad';
  /** A sequence of padding only. */
  readonly padding: Sequence;
  readonly record: StepRecorder | undefined;
  /** Told when the run has ended before its first step, of which so many slots could be filled. */
  readonly onNoStep?: ((filledSlots: number) => void) | undefined;
  /** What its lanes wait for is in it already; it adds what else takes time. */
  readonly stalls: Stalls;
}

/** Where streams that share an assembler must agree. */
export interface StreamPosition {
  readonly lanes: LaneStates;
  readonly mixture: readonly MixtureChange[];
}

/** What a slot gets, and of which lane; without the sequence where nobody here wants it. */
interface Filling {
  readonly lane: number;
  readonly sequence: Sequence | undefined;
}

interface KeptStep {
  readonly before: StreamPosition;
  readonly step: Step;
  readonly bytes: number;
}

export class Assembler {
  readonly #options: AssemblerOptions;
  readonly #slots: readonly number[];
  readonly #kept: KeptStep[] = [];
  #keptBytes = 0;
  #nextStep: number;
  #position: StreamPosition;
  /** The run has this many steps. */
  #endStep: number | undefined;
  #making: Promise<void> | undefined;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#nextStep = options.startStep;
    this.#position = { lanes: options.startLanes, mixture: options.mixture.changesBefore(options.startStep) };
    this.#slots = Array.from({ length: options.batchSize }, (_, slot) => slot).filter((slot) =>
      options.lanes.has(laneOfSlot(slot, options.lanesTotal)),
    );
    for (const [number, lane] of options.lanes) if (options.computed.has(number)) lane.start(options.mixture.weights);
  }

  /** Whether a stream that stands at `position` before `step` can go on here. */
  holds(step: number, position: StreamPosition): boolean {
    const before = step === this.#nextStep ? this.#position : this.#kept.find((kept) => kept.step.step === step)?.before;
    return before !== undefined && sameLaneStates(before.lanes, position.lanes) && sameChanges(before.mixture, position.mixture);
  }

  /** A step: undefined when the run has ended before it, `'gone'` when it is no longer kept. */
  async get(step: number): Promise<Step | 'gone' | undefined> {
    for (;;) {
      if (this.#endStep !== undefined && step >= this.#endStep) return undefined;
      if (step < this.#nextStep) return this.#kept.find((kept) => kept.step.step === step)?.step ?? 'gone';
      if (step > this.#nextStep) throw new RangeError(`step ${step} was asked for before step ${this.#nextStep}`);
      this.#making ??= this.#makeInTime().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
  }

  /** Whether a step that was got may still be read: only while it is kept. */
  keeps({ step }: Step): boolean {
    return step >= this.#nextStep - this.#kept.length;
  }

  get readySequences(): number {
    return [...this.#options.lanes.values()].reduce((sum, lane) => sum + lane.readySequences, 0);
  }

  close(): void {
    for (const lane of this.#options.lanes.values()) lane.close();
  }

  async #makeInTime(): Promise<void> {
    const { stalls } = this.#options;
    const startedMs = performance.now();
    const stalledMs = stalls.sumMs;
    await this.#make();
    stalls.addOther(performance.now() - startedMs - (stalls.sumMs - stalledMs));
  }

  async #make(): Promise<void> {
    const { lanes, lanesTotal, computed, mixture, last, padding, record } = this.#options;
    const weights = await mixture.weightsOf(this.#nextStep);
    const slots = new Map<number, Sequence>();
    const filledBy = new Map<number, number>();
    let padded = false;
    for (let index = 0; index < this.#slots.length; index++) {
      const slot = this.#slots[index];
      const lane = laneOfSlot(slot, lanesTotal);
      const isWanted = computed.has(lane);
      const ready = padded || !isWanted ? undefined : lanes.get(lane)?.takeReady(weights);
      const filling = ready !== undefined ? { lane, sequence: ready } : padded ? undefined : await this.#fill(lane, weights, isWanted);
      if (filling === undefined) {
        if (index === 0 || last === 'drop') {
          this.#endStep = this.#nextStep;
          if (this.#endStep === 0) this.#options.onNoStep?.(index);
          return;
        }
        padded = true;
      } else if (isWanted) filledBy.set(slot, filling.lane);
      if (isWanted) slots.set(slot, filling?.sequence ?? padding);
    }
    const lanesAfter: Record<string, LaneState> = {};
    for (const [number, lane] of lanes) lanesAfter[number] = lane.state;
    const mixtureAfter = mixture.changesBefore(this.#nextStep + 1);
    await record?.({
      step: this.#nextStep,
      slots,
      filledBy,
      before: this.#ofComputed(this.#position),
      after: this.#ofComputed({ lanes: lanesAfter, mixture: mixtureAfter }),
    });
    this.#keep({ step: this.#nextStep, slots, lanesAfter, mixtureAfter });
    this.#position = { lanes: lanesAfter, mixture: mixtureAfter };
    // whether another step follows is asked of the lanes, as whoever resumes from here has to: a source may have a weight again
    this.#nextStep++;
  }

  /** At least the last one, however large it is. */
  #keep(step: Step): void {
    let bytes = 0;
    for (const sequence of step.slots.values()) bytes += bytesOfSequence(sequence);
    this.#kept.push({ before: this.#position, step, bytes });
    this.#keptBytes += bytes;
    while (this.#kept.length > 1 && (this.#kept.length > LIMITS.stepsRetainedMax || this.#keptBytes > LIMITS.retainedBytesMax)) {
      const dropped = this.#kept.shift();
      this.#keptBytes -= dropped?.bytes ?? 0;
      for (const { release } of dropped?.step.slots.values() ?? []) release?.();
    }
  }

  /** From this lane, or, where it is exhausted, from the next ones in order of number. */
  async #fill(turn: number, weights: readonly number[], isWanted: boolean): Promise<Filling | undefined> {
    const { lanes, lanesTotal } = this.#options;
    for (let offset = 0; offset < lanesTotal; offset++) {
      const number = (turn + offset) % lanesTotal;
      const lane = lanes.get(number);
      if (lane === undefined) continue;
      const sequence = isWanted ? await lane.take(weights) : undefined;
      if (sequence !== undefined || (!isWanted && (await lane.pass(weights)))) return { lane: number, sequence };
    }
    return undefined;
  }

  #ofComputed({ lanes, mixture }: StreamPosition): StreamPosition {
    const own = Object.entries(lanes).filter(([lane]) => this.#options.computed.has(Number(lane)));
    return { lanes: Object.fromEntries(own), mixture };
  }
}
