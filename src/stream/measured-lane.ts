/**
 * One lane of one source whose lengths are known: goes over sequences that nobody here wants without making them, and makes the others.
 *
 *   passed · passed · passed │ wanted ──▶ a lane is opened here, and makes all that follow
 */
import { HeadraceError } from '../core/errors.js';
import type { KnownPlan, WindowPlace } from '../plan/source-plan.js';
import type { SequenceSource } from './lane.js';
import { KnownSequences, type Lengths } from './lengths.js';
import type { PassedSequence, PlacedSequence, SourcePosition } from './source-lane.js';

export interface MeasuredLaneOptions {
  readonly lengths: Lengths;
  readonly plan: KnownPlan;
  /** Indexes of the source and the lane. */
  readonly source: number;
  readonly lane: number;
  /** Computes the lane from a position on. */
  readonly open: (at: SourcePosition) => SequenceSource;
}

/** Errors of the calls: those of the lane; `INDEX_INVALID` where what it makes is not what the lengths say. */
export class MeasuredLane implements SequenceSource {
  readonly #options: MeasuredLaneOptions;
  readonly #known: KnownSequences;
  #at: SourcePosition;
  #computed: SequenceSource | undefined;
  #closed = false;

  /** `start`: where the next sequence starts. Errors: `INDEX_INVALID`, where that is nowhere. */
  constructor(options: MeasuredLaneOptions, start: SourcePosition) {
    this.#options = options;
    this.#known = new KnownSequences(options.lengths, options.plan, options, start);
    this.#at = start;
  }

  async take(): Promise<PlacedSequence | undefined> {
    if (this.#computed === undefined && this.#known.next === 'ended') {
      this.#end();
      return undefined;
    }
    const taken = await this.#open().take();
    this.#known.check(taken, this.#at);
    if (taken !== undefined) this.#at = taken.end;
    return taken;
  }

  async pass(): Promise<PassedSequence | undefined> {
    const { next } = this.#known;
    if (this.#computed !== undefined || next === 'unknown') return this.take();
    if (next === 'ended') {
      this.#end();
      return undefined;
    }
    this.#known.advance();
    this.#at = next.end;
    return next;
  }

  start(): void {
    this.#open().start();
  }

  get readySequences(): number {
    return this.#computed?.readySequences ?? 0;
  }

  get place(): WindowPlace {
    return this.#computed?.place ?? { group: this.#at.group, window: this.#at.window };
  }

  close(): void {
    this.#closed = true;
    this.#computed?.close();
  }

  #open(): SequenceSource {
    // nobody would close it
    if (this.#closed && this.#computed === undefined) throw new HeadraceError('ABORTED', 'the stream was closed');
    return (this.#computed ??= this.#options.open(this.#at));
  }

  /** As a lane that finds no sequence in the windows that are left. */
  #end(): void {
    const { plan } = this.#options;
    let place: WindowPlace = this.#at;
    while (!plan.isPastEnd(place)) place = plan.nextPlace(place);
    this.#at = { group: place.group, window: place.window, document: 0, token: 0 };
  }
}
