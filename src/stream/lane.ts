/** One lane: takes each sequence from the source that lags most behind its weight, and knows its own position exactly. */
import type { Sequence } from '../core/sequence.js';
import type { LanePosition, LaneState } from '../plan/cursor.js';
import { chooseSource } from '../plan/mixture.js';
import type { SourcePlan } from '../plan/source-plan.js';
import type { SourceLane } from './source-lane.js';

export interface LaneSource {
  readonly plan: SourcePlan;
  readonly weight: number;
  readonly lane: SourceLane;
}

interface LaneEntry extends LaneSource {
  position: LanePosition;
}

export class Lane {
  readonly #entries: readonly LaneEntry[];

  /** `state`: the position in every source. */
  constructor(sources: readonly LaneSource[], state: LaneState) {
    this.#entries = sources.map((source) => ({ ...source, position: state[source.plan.name] }));
  }

  /** The next sequence; undefined when every source has ended in this lane. */
  async take(): Promise<Sequence | undefined> {
    for (;;) {
      const active = this.#entries.filter(({ plan, position: [group, window] }) => !plan.isPastEnd({ group, window }));
      const entry = active.at(
        chooseSource(active.map(({ plan, weight, position }) => ({ name: plan.name, weight, delivered: position[4] }))),
      );
      if (entry === undefined) return undefined;
      const next = await entry.lane.take();
      const delivered = entry.position[4];
      if (next === undefined) {
        // its last windows held no tokens: the position says from now on that it has ended, so a resumed lane weighs the same sources
        entry.position = [entry.lane.place.group, entry.lane.place.window, 0, 0, delivered];
        continue;
      }
      const { sequence, end } = next;
      entry.position = [end.group, end.window, end.document, end.token, delivered + sequence.tokens];
      return sequence;
    }
  }

  get state(): LaneState {
    return Object.fromEntries(this.#entries.map(({ plan, position }) => [plan.name, position]));
  }

  get readySequences(): number {
    return this.#entries.reduce((sum, { lane }) => sum + lane.readySequences, 0);
  }

  start(): void {
    for (const { lane } of this.#entries) lane.start();
  }

  close(): void {
    for (const { lane } of this.#entries) lane.close();
  }
}
