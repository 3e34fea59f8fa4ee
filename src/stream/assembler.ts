/**
 * Assembles steps from lanes, in order, and keeps the last ones, so that the ranks of one machine share the work of the lanes that they share.
 *
 *   lanes 0 … L−1 ──slot j takes from lane j mod L──▶ step s: [slot 0 … slot B−1] ──▶ ranks, each its slots
 *
 * A step is made when the first rank asks for it. A rank that asks for a step that is no longer kept gets an assembler of its own, from its own cursor:
 * the plan is pure, so that costs time and changes nothing.
 */
import { LIMITS } from '../config/limits.js';
import type { Sequence } from '../core/sequence.js';
import type { LaneStates } from '../plan/cursor.js';
import { laneOfSlot } from '../plan/slots.js';
import type { Lane } from './lane.js';

export interface Step {
  readonly step: number;
  /** By slot; only the slots of the assembler's lanes are there. */
  readonly slots: ReadonlyMap<number, Sequence>;
  /** Positions of the assembler's lanes after this step. */
  readonly lanesAfter: LaneStates;
}

export interface AssemblerOptions {
  readonly batchSize: number;
  readonly lanesTotal: number;
  /** By lane number, ascending. With finite epochs: all lanes, because the slots of an exhausted lane are filled from the others. */
  readonly lanes: ReadonlyMap<number, Lane>;
  readonly startStep: number;
  readonly startLanes: LaneStates;
  readonly last: 'drop' | 'pad';
  /** A sequence of padding only. */
  readonly padding: Sequence;
}

interface KeptStep {
  readonly lanesBefore: LaneStates;
  readonly step: Step;
}

export class Assembler {
  readonly #options: AssemblerOptions;
  readonly #slots: readonly number[];
  readonly #kept: KeptStep[] = [];
  readonly #keptMax: number;
  #nextStep: number;
  #lanesNext: LaneStates;
  /** The run has this many steps. */
  #endStep: number | undefined;
  #making: Promise<void> | undefined;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#nextStep = options.startStep;
    this.#lanesNext = options.startLanes;
    this.#slots = Array.from({ length: options.batchSize }, (_, slot) => slot).filter((slot) =>
      options.lanes.has(laneOfSlot(slot, options.lanesTotal)),
    );
    const stepBytes = this.#slots.length * options.padding.ids.byteLength;
    this.#keptMax = Math.max(1, Math.min(LIMITS.stepsRetainedMax, Math.floor(LIMITS.retainedBytesMax / stepBytes)));
    for (const lane of options.lanes.values()) lane.start();
  }

  /** Whether a stream that stands at `lanes` before `step` can go on here. */
  holds(step: number, lanes: LaneStates, same: (a: LaneStates, b: LaneStates) => boolean): boolean {
    const before = step === this.#nextStep ? this.#lanesNext : this.#kept.find((kept) => kept.step.step === step)?.lanesBefore;
    return before !== undefined && same(before, lanes);
  }

  /** A step: undefined when the run has ended before it, `'gone'` when it is no longer kept. */
  async get(step: number): Promise<Step | 'gone' | undefined> {
    for (;;) {
      if (this.#endStep !== undefined && step >= this.#endStep) return undefined;
      if (step < this.#nextStep) return this.#kept.find((kept) => kept.step.step === step)?.step ?? 'gone';
      if (step > this.#nextStep) throw new RangeError(`step ${step} was asked for before step ${this.#nextStep}`);
      this.#making ??= this.#make().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
  }

  get readySequences(): number {
    return [...this.#options.lanes.values()].reduce((sum, lane) => sum + lane.readySequences, 0);
  }

  close(): void {
    for (const lane of this.#options.lanes.values()) lane.close();
  }

  async #make(): Promise<void> {
    const { lanes, lanesTotal, last, padding } = this.#options;
    const slots = new Map<number, Sequence>();
    let padded = false;
    for (const slot of this.#slots) {
      const sequence = padded ? undefined : await this.#takeFrom(laneOfSlot(slot, lanesTotal));
      if (sequence === undefined) {
        if (slots.size === 0 || last === 'drop') {
          this.#endStep = this.#nextStep;
          return;
        }
        padded = true;
      }
      slots.set(slot, sequence ?? padding);
    }
    const lanesAfter: LaneStates = Object.fromEntries([...lanes].map(([number, lane]) => [String(number), lane.state]));
    this.#kept.push({ lanesBefore: this.#lanesNext, step: { step: this.#nextStep, slots, lanesAfter } });
    if (this.#kept.length > this.#keptMax) this.#kept.shift();
    this.#lanesNext = lanesAfter;
    this.#nextStep++;
    if (padded) this.#endStep = this.#nextStep;
  }

  /** From this lane, or, where it is exhausted, from the next ones in order of number. */
  async #takeFrom(lane: number): Promise<Sequence | undefined> {
    const { lanes, lanesTotal } = this.#options;
    for (let offset = 0; offset < lanesTotal; offset++) {
      const sequence = await lanes.get((lane + offset) % lanesTotal)?.take();
      if (sequence !== undefined) return sequence;
    }
    return undefined;
  }
}
