/** The streams of ranks over shared assemblers: a rank gets its slots of each step, wherever another rank stands. */
import { BatchMemory } from '../batch/batch-memory.js';
import { buildBatch } from '../batch/batch.js';
import { buffersOfFields } from '../batch/fields.js';
import { LIMITS } from '../config/limits.js';
import type { BatchArrays } from '../core/batch-arrays.js';
import { paddingOfField, type Field } from '../core/fields.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING, type Sequence } from '../core/sequence.js';
import { sequenceDigest } from '../pack/sequence-writer.js';
import { CURSOR_VERSION, type Cursor, type LaneState, type LaneStates, type PlanRecord } from '../plan/cursor.js';
import type { MixtureChange } from '../plan/mixture-changes.js';
import { lanesOfRank, slotsOfRank, type Rank } from '../plan/slots.js';
import { Assembler, type StepRecorder } from './assembler.js';
import type { Lane } from './lane.js';
import type { MixtureTimeline } from './mixture-timeline.js';
import { Stalls, type StallTimes, type WorkTimes } from './stalls.js';

/** A rank's part of one step. */
export interface Batch extends BatchArrays {
  readonly step: number;
  /** Where the stream stands after this batch: what a checkpoint keeps. */
  readonly cursor: Cursor;
}

export interface RankStream {
  /** Where the stream starts. */
  readonly start: Cursor;
  /** The next batch; undefined after the last. One call at a time. Errors: those of reading, decoding and tokenizing, named. */
  next(): Promise<Batch | undefined>;
  /** For whoever has a batch sent or copied and reads it no more: a later one is made in its memory. Batches that are not given back are the caller's. */
  giveBack(batch: Batch): void;
  /** What its steps waited for, so far: with other ranks of the same lanes they are made once. From 0 again where it has fallen behind these. */
  readonly stalls: StallTimes;
  /** Frees what only this stream needs. A pending `next` rejects or resolves, it does not hang. */
  close(): void;
}

export interface StreamHubOptions {
  readonly batchSize: number;
  readonly lanes: number;
  readonly length: number;
  readonly padId: number;
  /** Of samples. */
  readonly samples?: SampleForm | undefined;
  /** Whether lanes can end: then every rank needs every lane, because the others fill the slots of exhausted ones. */
  readonly finite: boolean;
  /** Whether lanes can be passed: then a rank computes its own, and others where they fill its slots. */
  readonly measured?: boolean;
  readonly last: 'drop' | 'pad';
  readonly plan: PlanRecord;
  /** `stepsWanted`: see `Lane`. */
  readonly openLane: (lane: number, state: LaneState, stepsWanted: number, stalls: Stalls) => Lane;
  /** `taken`: of the cursor that the stream starts from. */
  readonly openMixture: (taken: readonly MixtureChange[], step: number) => MixtureTimeline;
  /** Of the threads that the lanes wait for. */
  readonly work?: WorkTimes;
  /** One for each assembler. */
  readonly openRecorder?: (() => StepRecorder) | undefined;
  /** See `AssemblerOptions`. */
  readonly onNoStep?: ((filledSlots: number) => void) | undefined;
}

export interface StreamOptions {
  /** The stream ends before this step, if it has not before. */
  readonly stepsEnd?: number | undefined;
  /** Of memory that small batches share, so that those that follow one another lie side by side: none of them may be transferred. 0: each has its own. */
  readonly slabBytes?: number | undefined;
}

/** What all samples have. */
export interface SampleForm {
  readonly fields: readonly Field[];
  /** Whether they have tokens. */
  readonly hasIds: boolean;
}

const NO_WORK: WorkTimes = { decodeMs: 0, tokenizeMs: 0, packMs: 0 };

interface SharedAssembler {
  /** Of the lanes that it computes. */
  readonly lanesKey: string;
  readonly stepsEnd: number;
  readonly assembler: Assembler;
  readonly stalls: Stalls;
  users: number;
}

export class StreamHub {
  readonly #options: StreamHubOptions;
  readonly #shared = new Set<SharedAssembler>();
  readonly #padding: Sequence;

  constructor(options: StreamHubOptions) {
    this.#options = options;
    this.#padding = paddingSequence(options);
  }

  /** The lanes that a rank's stream needs, ascending. */
  lanesOf(rank: Rank): number[] {
    const { finite, lanes, batchSize } = this.#options;
    return finite ? Array.from({ length: lanes }, (_, lane) => lane) : lanesOfRank(rank, batchSize, lanes);
  }

  /** Those of them whose sequences it is given. */
  #computedLanesOf(rank: Rank): number[] {
    const { measured = false, lanes, batchSize } = this.#options;
    return measured ? lanesOfRank(rank, batchSize, lanes) : this.lanesOf(rank);
  }

  /** Sequences that wait in lanes for their step. */
  get readySequences(): number {
    return [...this.#shared].reduce((sum, { assembler }) => sum + assembler.readySequences, 0);
  }

  /** `lanes` holds exactly the lanes of `lanesOf(rank)`; `mixture`: see `Cursor`. */
  open(
    rank: Rank,
    step: number,
    lanes: LaneStates,
    mixture: readonly MixtureChange[],
    { stepsEnd = Infinity, slabBytes = 0 }: StreamOptions = {},
  ): RankStream {
    const slots = slotsOfRank(rank, this.#options.batchSize);
    const { plan, length, samples } = this.#options;
    const computed = this.#computedLanesOf(rank);
    let cursor: Cursor = { version: CURSOR_VERSION, step, plan, mixture, lanes };
    let shared = this.#join(cursor, computed, stepsEnd);
    let closed = false;
    const { batchMemoryBuffersMax: buffersMax, batchMemoryBytesMax: bytesMax } = LIMITS;
    const memory = new BatchMemory({ buffersMax, bytesMax, slabBytes });

    // as a call, so that the compiler does not think that waiting changes nothing
    const isClosed = (): boolean => closed;
    const next = async (): Promise<Batch | undefined> => {
      if (cursor.step >= stepsEnd) return undefined;
      let made = await shared.assembler.get(cursor.step);
      // whoever was closed meanwhile has left already
      if (isClosed()) return undefined;
      // as it may have become while its answer was on its way
      while (made === 'gone' || (made !== undefined && !shared.assembler.keeps(made))) {
        this.#leave(shared);
        shared = this.#join(cursor, computed, stepsEnd);
        made = await shared.assembler.get(cursor.step);
        if (isClosed()) return undefined;
      }
      if (made === undefined) return undefined;
      const { slots: sequences, lanesAfter, mixtureAfter } = made;
      const own = slots.flatMap((slot) => sequences.get(slot) ?? []);
      cursor = { version: CURSOR_VERSION, step: cursor.step + 1, plan, mixture: mixtureAfter, lanes: lanesAfter };
      return Object.assign(buildBatch(own, length, { fields: samples?.fields, memory }), { step: made.step, cursor });
    };
    const close = (): void => {
      if (!closed) this.#leave(shared);
      closed = true;
    };
    return {
      start: cursor,
      next,
      giveBack: ({ inputIds, fields = {} }) => {
        for (const buffer of [inputIds.buffer, ...buffersOfFields(fields)]) memory.giveBack(buffer);
      },
      close,
      get stalls() {
        return shared.stalls.times;
      },
    };
  }

  close(): void {
    for (const { assembler } of this.#shared) assembler.close();
    this.#shared.clear();
  }

  #join({ step, lanes, mixture }: Cursor, computed: readonly number[], stepsEnd: number): SharedAssembler {
    const lanesKey = computed.join(' ');
    for (const shared of this.#shared) {
      if (shared.lanesKey === lanesKey && shared.stepsEnd === stepsEnd && shared.assembler.holds(step, { lanes, mixture })) {
        shared.users++;
        return shared;
      }
    }
    const { batchSize, lanes: lanesTotal, last, openLane, openMixture, openRecorder, onNoStep, work = NO_WORK } = this.#options;
    const stalls = new Stalls(work);
    const assembler = new Assembler({
      batchSize,
      lanesTotal,
      lanes: new Map(Object.entries(lanes).map(([lane, state]) => [Number(lane), openLane(Number(lane), state, stepsEnd - step, stalls)])),
      computed: new Set(computed),
      startStep: step,
      startLanes: lanes,
      mixture: openMixture(mixture, step),
      last,
      padding: this.#padding,
      record: openRecorder?.(),
      stalls,
      onNoStep,
    });
    const shared: SharedAssembler = { lanesKey, stepsEnd, assembler, stalls, users: 1 };
    this.#shared.add(shared);
    return shared;
  }

  #leave(shared: SharedAssembler): void {
    shared.users--;
    if (shared.users > 0) return;
    shared.assembler.close();
    this.#shared.delete(shared);
  }
}

function paddingSequence({ length, padId, samples }: Pick<StreamHubOptions, 'length' | 'padId' | 'samples'>): Sequence {
  const ids = new Int32Array(samples?.hasIds === false ? 0 : length).fill(padId);
  const fields = samples?.fields.map(paddingOfField);
  const segments = new Int32Array(SEGMENT_FIELDS);
  segments[0] = SOURCE_PADDING;
  segments[SEGMENT_LENGTH] = length;
  return { ids, segments, digest: sequenceDigest(ids, segments, undefined, fields), tokens: 0, ...(fields && { fields }) };
}
