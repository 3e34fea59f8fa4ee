/**
 * Checks the chain of a ledger: whoever says where a lane stood before a step, and whoever made its part of a step, must agree; and no step may be missing.
 * Segments come in any order. Memory: 24 bytes a lane and step, as fingerprints.
 *
 *   segment A   start 0 ─ 1 ─ 2 ─ 3 ─ 4 ─✕ killed
 *   segment B           start 2 ─ 3 ─ 4 ─ 5 ─ 6      from a checkpoint: steps 2 to 4 again, equal
 */
import { createHash } from 'node:crypto';
import type { MixtureChange } from '../plan/mixture-changes.js';
import type { LedgerState, SourcePositions } from './format.js';
import { LEDGER_LIMITS } from './limits.js';
import { ProblemList } from './problems.js';
import type { LedgerStep } from './read-ledger.js';

export interface LaneRange {
  readonly firstStep: number;
  /** The first step that was not made. */
  readonly endStep: number;
  /** Before its first step, and after its last. */
  readonly first: SourcePositions;
  readonly last: SourcePositions;
}

/** How many slots of a step a lane has, and how many tokens a slot. */
export interface ChainOptions {
  readonly lanes: number;
  readonly slotsPerLane: number;
  readonly length: number;
  /** Whether lanes can end: then one may fill the slots of others. */
  readonly lanesEnd: boolean;
  readonly sources: readonly string[];
}

interface LaneTables {
  readonly positions: Fingerprints;
  readonly digests: Fingerprints;
  firstStep: number;
  endStep: number;
  first: SourcePositions;
  last: SourcePositions;
}

export class ChainCheck {
  readonly problems = new ProblemList(LEDGER_LIMITS.problemsMax);
  /** Steps that are there more than once, counted by lane's parts. */
  repeatedParts = 0;
  readonly #options: ChainOptions;
  readonly #lanes = new Map<string, LaneTables>();
  readonly #mixture = new Fingerprints();
  readonly #files: string[] = [];

  constructor(options: ChainOptions) {
    this.#options = options;
  }

  start(file: string, step: number, state: LedgerState): void {
    this.#stands(file, step, state);
  }

  step(file: string, { step, digests, before, after }: LedgerStep): void {
    const { lanes, slotsPerLane, length, lanesEnd } = this.#options;
    this.#stands(file, step + 1, after);
    let tokens = 0;
    for (const [lane, positions] of after.lanes) {
      const previous = before.lanes.get(lane);
      const digest = digests.get(lane);
      if (previous === undefined || digest === undefined) continue; // the reader has checked that they are there
      if (Number(lane) >= lanes) this.problems.add(`step ${step} has a lane ${lane}, and there are ${lanes} (${file})`);
      tokens += this.#tokensBetween(file, step, lane, previous, positions);
      const tables = this.#tablesOf(lane);
      const known = tables.digests.at(step);
      if (known !== undefined) this.repeatedParts++;
      if (tables.digests.state(step, fingerprintOf(digest), this.#fileIndex(file)) === 'differs') {
        this.problems.add(
          `step ${step} was made twice, differently: lane ${lane} has another digest in ${file} than in ${this.#files[known?.file ?? 0]}`,
        );
      }
      if (step < tables.firstStep) {
        tables.firstStep = step;
        tables.first = previous;
      }
      if (step >= tables.endStep) {
        tables.endStep = step + 1;
        tables.last = positions;
      }
    }
    const tokensMax = (lanesEnd ? lanes : after.lanes.size) * slotsPerLane * length;
    if (tokens > tokensMax) this.problems.add(`step ${step} delivers ${tokens} tokens, and has room for ${tokensMax} (${file})`);
  }

  /** After the last segment. By lane; lanes without a step are a problem. */
  finish(): ReadonlyMap<string, LaneRange> {
    for (let lane = 0; lane < this.#options.lanes; lane++) {
      const tables = this.#lanes.get(String(lane));
      if (tables === undefined || tables.endStep === 0) {
        this.problems.add(`no step of lane ${lane} is in any segment`);
        continue;
      }
      for (const { start, end } of tables.digests.missingBetween(tables.firstStep, tables.endStep)) {
        const which = end === start + 1 ? `step ${start} is` : `steps ${start} to ${end - 1} are`;
        this.problems.add(`${which} missing in lane ${lane}: it was made before, and after`);
      }
    }
    return new Map([...this.#lanes].filter(([, { endStep }]) => endStep > 0));
  }

  #stands(file: string, step: number, { lanes, mixture }: LedgerState): void {
    const index = this.#fileIndex(file);
    for (const [lane, positions] of lanes) {
      const table = this.#tablesOf(lane).positions;
      const known = table.at(step);
      if (table.state(step, fingerprintOf(JSON.stringify(positions)), index) === 'differs') {
        this.problems.add(
          `the chain is broken at step ${step}: lane ${lane} stands at ${JSON.stringify(positions)} in ${file}, and elsewhere in ${this.#files[known?.file ?? 0]}`,
        );
      }
    }
    const known = this.#mixture.at(step);
    if (this.#mixture.state(step, fingerprintOf(canonicalChanges(mixture)), index) === 'differs') {
      this.problems.add(`the weights before step ${step} were changed otherwise in ${file} than in ${this.#files[known?.file ?? 0]}`);
    }
  }

  #tokensBetween(file: string, step: number, lane: string, before: SourcePositions, after: SourcePositions): number {
    let tokens = 0;
    for (const [i, to] of after.entries()) {
      const from = before[i];
      const delivered = to[4] - from[4];
      tokens += delivered;
      const at = to.findIndex((value, field) => field < 4 && value !== from[field]);
      const source = this.#options.sources[i];
      if (delivered < 0 || (at >= 0 && to[at] < from[at])) {
        this.problems.add(
          `step ${step} moves lane ${lane} of ${source} back, from ${JSON.stringify(from)} to ${JSON.stringify(to)} (${file})`,
        );
      } else if (at < 0 && delivered > 0) {
        this.problems.add(
          `step ${step} delivers ${delivered} tokens of ${source} in lane ${lane}, which stands at ${JSON.stringify(to)} before and after it (${file})`,
        );
      }
    }
    return tokens;
  }

  #tablesOf(lane: string): LaneTables {
    let tables = this.#lanes.get(lane);
    if (tables === undefined) {
      tables = { positions: new Fingerprints(), digests: new Fingerprints(), firstStep: Infinity, endStep: 0, first: [], last: [] };
      this.#lanes.set(lane, tables);
    }
    return tables;
  }

  /** Few, and mostly the one before. */
  #fileIndex(file: string): number {
    const last = this.#files.length - 1;
    if (this.#files[last] === file) return last;
    const index = this.#files.indexOf(file);
    return index >= 0 ? index : this.#files.push(file) - 1;
  }
}

interface Stated {
  readonly value: number;
  readonly file: number;
}

/** By step: a number, and who stated it first. */
class Fingerprints {
  /** 0: none. */
  #values = new Float64Array(1024);
  #files = new Uint32Array(1024);

  at(step: number): Stated | undefined {
    return step < this.#values.length && this.#values[step] !== 0 ? { value: this.#values[step], file: this.#files[step] } : undefined;
  }

  state(step: number, value: number, file: number): 'first' | 'same' | 'differs' {
    if (step >= this.#values.length) this.#grow(step + 1);
    if (this.#values[step] === 0) {
      this.#values[step] = value;
      this.#files[step] = file;
      return 'first';
    }
    return this.#values[step] === value ? 'same' : 'differs';
  }

  *missingBetween(start: number, end: number): Generator<{ readonly start: number; readonly end: number }> {
    for (let step = start; step < end; step++) {
      if (this.at(step) !== undefined) continue;
      const first = step;
      while (step < end && this.at(step) === undefined) step++;
      yield { start: first, end: step };
    }
  }

  #grow(least: number): void {
    const length = Math.max(2 * this.#values.length, least);
    const values = new Float64Array(length);
    values.set(this.#values);
    const files = new Uint32Array(length);
    files.set(this.#files);
    this.#values = values;
    this.#files = files;
  }
}

/** 48 bits, and never 0. */
function fingerprintOf(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6) + 1;
}

function canonicalChanges(mixture: readonly MixtureChange[]): string {
  return JSON.stringify(mixture.map(({ at, weights, ramp }) => [at, Object.entries(weights).sort(), ramp]));
}
