/**
 * Lengths: the sequences of a run that has an end, without what is in them. Whoever knows them can go over a lane that another machine computes, and knows
 * where it stands and when it ends.
 *
 *   sections   source 0 lane 0 │ source 0 lane 1 │ … │ source 1 lane 0 …
 *   windows    group, window   │ only those that hold sequences, in the lane's order
 *   sequences  documents further, token, tokens missing to a full one │ …        as varints; 0, 0: it ends with its window
 */
import { HeadraceError } from '../core/errors.js';
import { bytesOf, BytesColumnBuilder, NumberColumnBuilder, type BytesColumn, type NumberColumn } from '../manifest/columns.js';
import type { KnownPlan } from '../plan/source-plan.js';
import type { PassedSequence, PlacedSequence, SourcePosition } from './source-lane.js';

export interface LengthsColumns {
  /** By section: its windows and those of the sections before it. */
  readonly windowsEnd: NumberColumn;
  /** By section: 1 where nothing comes after its last sequence. */
  readonly isWhole: NumberColumn;
  /** By window. */
  readonly group: NumberColumn;
  readonly window: NumberColumn;
  readonly sequences: BytesColumn;
}

export interface Lengths {
  /** For messages. */
  readonly uri: string;
  readonly lanes: number;
  /** Tokens of a full sequence. */
  readonly length: number;
  readonly columns: LengthsColumns;
}

/** Errors: all are of lengths that are not those of this run. */
export function lengthsInvalid(uri: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('INDEX_INVALID', `${uri} does not hold the lengths of this run: ${problem}`, {
    detail: { uri, problem },
    hint: 'Make them again with `headrace index CONFIG --lengths`, or take `lengths` out of the configuration: the stream is the same, and every sidecar computes all lanes.',
    cause,
  });
}

/** The sequences of one source in one lane, from a position on. */
export class KnownSequences {
  readonly #lengths: Lengths;
  readonly #plan: KnownPlan;
  readonly #lane: number;
  readonly #isWhole: boolean;
  readonly #windowsEnd: number;
  /** Of the sequence that comes next; that of `#decoded` until it is used up. */
  #window: number;
  #decoded: readonly PassedSequence[] = [];
  #next = 0;

  /** `at`: where the next sequence starts. Errors: `INDEX_INVALID`, where none does. */
  constructor(lengths: Lengths, plan: KnownPlan, { source, lane }: { readonly source: number; readonly lane: number }, at: SourcePosition) {
    const { windowsEnd, isWhole, group, window } = lengths.columns;
    const section = source * lengths.lanes + lane;
    this.#lengths = lengths;
    this.#plan = plan;
    this.#lane = lane;
    this.#isWhole = isWhole[section] === 1;
    this.#windowsEnd = windowsEnd[section];
    let [low, high] = [section === 0 ? 0 : windowsEnd[section - 1], this.#windowsEnd];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((group[middle] - at.group || window[middle] - at.window) < 0) low = middle + 1;
      else high = middle;
    }
    this.#window = low;
    this.#decode();
    if (at.document > 0 || at.token > 0) this.#next = this.#nextFrom(at);
  }

  /** `ended`: there is none. `unknown`: the lengths do not say. */
  get next(): PassedSequence | 'ended' | 'unknown' {
    if (this.#next === this.#decoded.length && this.#window < this.#windowsEnd) {
      this.#window++;
      this.#decode();
    }
    if (this.#next < this.#decoded.length) return this.#decoded[this.#next];
    return this.#isWhole ? 'ended' : 'unknown';
  }

  advance(): void {
    this.#next++;
  }

  /** Whether `made` is the next one, as far as it is known; and goes over it. Errors: `INDEX_INVALID`. */
  check(made: PassedSequence | undefined, at: SourcePosition): void {
    const { next } = this;
    if (next === 'unknown') return;
    if (next === 'ended') {
      if (made !== undefined) throw this.#invalid(at, 'it holds a sequence that the lengths do not have');
      return;
    }
    if (made === undefined) throw this.#invalid(at, 'the lengths have a sequence that it does not hold');
    if (made.tokens !== next.tokens || comparePositions(made.end, next.end) !== 0) {
      throw this.#invalid(at, 'its next sequence is another one than in the lengths');
    }
    this.advance();
  }

  /** Of the sequences of this window, the one that starts in the middle of it, at `at`. */
  #nextFrom(at: SourcePosition): number {
    const before = this.#decoded.findIndex(({ end }) => comparePositions(end, at) === 0);
    if (before >= 0) return before + 1;
    // a run that was measured up to some step only may well go on behind the last sequence that is known
    const last = this.#decoded.at(-1);
    const isBehind = this.#window >= this.#windowsEnd - 1 && (last === undefined || comparePositions(last.end, at) < 0);
    if (!isBehind || this.#isWhole) throw this.#invalid(at, 'no sequence ends there');
    return this.#decoded.length;
  }

  #decode(): void {
    this.#next = 0;
    this.#decoded = [];
    if (this.#window >= this.#windowsEnd) return;
    const { columns, length } = this.#lengths;
    const place = { group: columns.group[this.#window], window: columns.window[this.#window] };
    const bytes = bytesOf(columns.sequences, this.#window);
    const decoded: PassedSequence[] = [];
    let document = 0;
    for (let at = 0; at < bytes.length;) {
      let value = 0;
      const values = [0, 0, 0];
      for (const field of values.keys()) {
        let unit = 1;
        for (value = 0; bytes[at] >= 128; at++, unit *= 128) value += (bytes[at] - 128) * unit;
        values[field] = value + bytes[at++] * unit;
      }
      const [further, token, missing] = values;
      const isLast = further === 0 && token === 0;
      document += further;
      const end = isLast ? { ...this.#plan.nextPlace(place), document: 0, token: 0 } : { ...place, document, token };
      decoded.push({ tokens: length - missing, end });
    }
    this.#decoded = decoded;
  }

  #invalid({ group, window, document, token }: SourcePosition, problem: string): HeadraceError {
    const place = `group ${group}, window ${window}, document ${document}, token ${token}`;
    return lengthsInvalid(this.#lengths.uri, `source ${this.#plan.name}, lane ${this.#lane}, ${place}: ${problem}`);
  }
}

/** A sequence as a lane took it, or that a source has none left. */
export interface TakenSequence {
  readonly source: number;
  readonly lane: number;
  /** `undefined`: the source is used up in this lane. */
  readonly taken: PlacedSequence | undefined;
  /** No other comes in this lane. */
  readonly isLast: boolean;
}

/** Takes down the sequences of all lanes, each lane's in order. */
export class LengthsBuilder {
  readonly #length: number;
  readonly #sections: Section[];
  readonly #lanes: number;
  sequences = 0;

  constructor(sources: number, lanes: number, length: number) {
    this.#lanes = lanes;
    this.#length = length;
    this.#sections = Array.from({ length: sources * lanes }, () => new Section());
  }

  add({ source, lane, taken, isLast }: TakenSequence): void {
    const section = this.#sections[source * this.#lanes + lane];
    if (taken !== undefined) {
      section.add(taken, this.#length);
      this.sequences++;
    }
    section.isWhole ||= isLast;
  }

  finish(): LengthsColumns {
    const [windowsEnd, isWhole, group, window] = Array.from({ length: 4 }, () => new NumberColumnBuilder());
    const sequences = new BytesColumnBuilder();
    let windows = 0;
    for (const section of this.#sections) {
      const own = section.finish();
      for (let i = 0; i < own.group.length; i++) {
        group.push(own.group[i]);
        window.push(own.window[i]);
        sequences.addBytes(bytesOf(own.sequences, i));
        sequences.endValue();
      }
      windows += own.group.length;
      windowsEnd.push(windows);
      isWhole.push(section.isWhole ? 1 : 0);
    }
    return {
      windowsEnd: windowsEnd.finish(),
      isWhole: isWhole.finish(),
      group: group.finish(),
      window: window.finish(),
      sequences: sequences.finish(),
    };
  }
}

class Section {
  isWhole = false;
  readonly #group = new NumberColumnBuilder();
  readonly #window = new NumberColumnBuilder();
  readonly #sequences = new BytesColumnBuilder();
  #place: { readonly group: number; readonly window: number } | undefined;
  #document = 0;

  add({ place, end, tokens }: PlacedSequence, length: number): void {
    if (this.#place?.group !== place.group || this.#place.window !== place.window) {
      if (this.#place !== undefined) this.#sequences.endValue();
      this.#place = place;
      this.#document = 0;
      this.#group.push(place.group);
      this.#window.push(place.window);
    }
    const isLast = end.group !== place.group || end.window !== place.window;
    this.#sequences.addVarint(isLast ? 0 : end.document - this.#document);
    this.#sequences.addVarint(isLast ? 0 : end.token);
    this.#sequences.addVarint(length - tokens);
    this.#document = end.document;
  }

  finish(): Pick<LengthsColumns, 'group' | 'window' | 'sequences'> {
    if (this.#place !== undefined) this.#sequences.endValue();
    return { group: this.#group.finish(), window: this.#window.finish(), sequences: this.#sequences.finish() };
  }
}

/** By group, window, document and token, in the order of a lane. */
function comparePositions(a: SourcePosition, b: SourcePosition): number {
  return a.group - b.group || a.window - b.window || a.document - b.document || a.token - b.token;
}
