/** One lane of one source: walks the plan's windows, keeps one window ahead on its way, and hands out sequences in order. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import { bytesOfSequence, releaseOfChunk, sequenceOfChunk, type Sequence } from '../core/sequence.js';
import type { GroupPlan, SourcePlan, WindowPlace } from '../plan/source-plan.js';
import type { WindowsAhead } from './byte-budget.js';
import type { Stalls } from './stalls.js';
import type { WindowHandle } from './worker-pool.js';
import type { PackResult, WorkerWork } from './messages.js';
import type { PackPosition } from '../pack/packer.js';

/** Where the source's next sequence in this lane starts. */
export interface SourcePosition extends WindowPlace, PackPosition {}

/** What counts of a sequence, whoever makes it. */
export interface PassedSequence {
  /** That are not padding. */
  readonly tokens: number;
  /** The position after it. */
  readonly end: SourcePosition;
}

/** A sequence that was made here. */
export interface PlacedSequence extends PassedSequence {
  readonly sequence: Sequence;
  /** Its window. */
  readonly place: WindowPlace;
}

/** A window as a lane sees it: its sequences, portion after portion. */
export type PackedWindow = Pick<WindowHandle, 'next' | 'close'> & Partial<Pick<WindowHandle, 'loadedMs'>>;

export interface SourceLaneOptions {
  readonly plan: SourcePlan;
  readonly length: number;
  /** Whether sequences are samples, whose sizes differ. */
  readonly samples?: boolean;
  /** Sequences that a step takes from the lane: what is asked for first. */
  readonly stepSequences: number;
  /** Tokens that it keeps ready beyond those: see `readyTokensOf`. */
  readonly readyTokens: number;
  /** Sequences that are wanted in all: ahead of need no more are made. `Infinity`: nobody knows yet. */
  readonly sequencesWanted: number;
  readonly openWindow: (place: WindowPlace, from: PackPosition, windowsAhead: WindowsAhead) => PackedWindow;
  /** Told what each answer of a worker cost. */
  readonly onWork: (work: WorkerWork) => void;
  /** Told of each wait for sequences. */
  readonly stalls?: Pick<Stalls, 'begin'> | undefined;
  /** Told of each sequence that is taken, and of the end. */
  readonly onTaken?: ((taken: PlacedSequence | undefined) => void) | undefined;
}

/**
 * Epochs of a lane without a sequence before the source counts as empty: two, since one lane's part of one epoch may well be. And with fewer groups than
 * lanes, a lane has one group of several epochs: then its rows have to be some more as well.
 */
const EMPTY_EPOCHS_MAX = 2;

const WINDOW_START: PackPosition = { document: 0, token: 0 };

interface OpenWindow {
  readonly place: WindowPlace;
  readonly handle: PackedWindow;
  /** What its place is in; as long as it is a promise, the window has no bytes. */
  readonly group: OpenGroup['plan'];
}

interface OpenGroup {
  readonly group: number;
  readonly plan: GroupPlan | Promise<GroupPlan>;
}

export class SourceLane {
  readonly #options: SourceLaneOptions;
  readonly #ready: PlacedSequence[] = [];
  #readyBytes = 0;
  /** Place of the next request; its window, and the one after. */
  #place: WindowPlace;
  #from: PackPosition;
  #current: OpenWindow | undefined;
  #ahead: OpenWindow | undefined;
  #request: Promise<void> | undefined;
  /** The group of the next window, and the one after. */
  #groups: readonly OpenGroup[] = [];
  /** Doubles with each request up to the full chunk: the first answer is wanted soon, later ones are wanted cheap. */
  #requestSequences: number;
  #closed = false;
  readonly #closing = new AbortController();
  /** When the bytes of the last answer's window were there. */
  #loadedMs = 0;
  #taken = 0;
  /** Group of the last window that held a sequence; at the start, where the lane started. */
  #deliveredGroup: number;
  /** Rows of the windows since then, and windows without any. */
  #emptyRows = 0;
  #rowlessWindows = 0;

  constructor(options: SourceLaneOptions, start: SourcePosition) {
    this.#options = options;
    this.#place = { group: start.group, window: start.window };
    this.#from = { document: start.document, token: start.token };
    this.#requestSequences = options.stepSequences;
    this.#deliveredGroup = start.group;
  }

  /** The next sequence if it was made already: undefined where it has to be waited for, and after the last one. */
  takeReady(): PlacedSequence | undefined {
    const next = this.#ready.shift();
    if (next === undefined) return undefined;
    this.#taken++;
    this.#readyBytes -= bytesOfSequence(next.sequence);
    this.#refill();
    this.#options.onTaken?.(next);
    return next;
  }

  /** The next sequence; undefined after the last one. */
  async take(): Promise<PlacedSequence | undefined> {
    for (;;) {
      const next = this.takeReady();
      if (next !== undefined) return next;
      if (this.#options.plan.isPastEnd(this.#place)) {
        this.#options.onTaken?.(undefined);
        return undefined;
      }
      // nothing more will come: to go on here would never end
      if (this.#closed) throw new HeadraceError('ABORTED', 'the stream was closed');
      this.#refill(1);
      const endWait = this.#options.stalls?.begin();
      await this.#request;
      endWait?.(this.#loadedMs);
    }
  }

  get readySequences(): number {
    return this.#ready.length;
  }

  /** Asks for sequences ahead of need. */
  start(): void {
    this.#refill();
  }

  /** Where a lane that is used up stands. */
  get place(): WindowPlace {
    return this.#place;
  }

  close(): void {
    this.#closed = true;
    this.#closing.abort();
    this.#current?.handle.close();
    this.#ahead?.handle.close();
  }

  /** `needed`: sequences that somebody waits for. */
  #refill(needed = 0): void {
    if (this.#request !== undefined || this.#closed) return;
    const { length, stepSequences, readyTokens, samples, plan } = this.#options;
    if (samples === true && this.#ready.length > 0 && this.#readyBytes >= LIMITS.laneReadyFieldBytes) return;
    const aheadMax = samples === true ? LIMITS.laneReadySamples : Math.ceil(readyTokens / length);
    const readyMax = this.#taken === 0 ? stepSequences : stepSequences + aheadMax;
    const missing = Math.min(readyMax, Math.max(needed, this.#wanted)) - this.#ready.length;
    if (missing <= 0 || plan.isPastEnd(this.#place)) return;
    const request = this.#requestChunk(Math.max(needed, this.#wanted - this.#ready.length));
    this.#request = request;
    request.then(
      () => {
        this.#request = undefined;
        this.#refill();
      },
      () => undefined, // stays in #request: whoever takes next hears of it
    );
  }

  /** Sequences that will be taken, as far as it is known. */
  get #wanted(): number {
    return this.#options.sequencesWanted - this.#taken;
  }

  async #requestChunk(sequencesMax: number): Promise<void> {
    const { length, stepSequences, samples } = this.#options;
    const current = (this.#current ??= this.#open(this.#place, this.#from));
    const result = await current.handle.next(Math.min(this.#requestSequences, sequencesMax));
    this.#loadedMs = current.handle.loadedMs ?? 0;
    this.#options.onWork(result.work);
    const group = isPromise(current.group) ? await current.group : current.group;
    if (this.#closed) return;
    const chunkMax = samples === true ? LIMITS.chunkSamples : Math.floor(LIMITS.chunkTokens / length);
    const chunkSequences = Math.max(stepSequences, chunkMax, 1);
    this.#requestSequences = Math.min(2 * this.#requestSequences, chunkSequences);
    this.#accept(result, current, group.windowCount);
  }

  #accept(result: PackResult, current: OpenWindow, windowCount: number): void {
    const { plan, length } = this.#options;
    const next = plan.placeAfter(current.place, windowCount);
    if (result.chunk.count > 0) {
      // the window's last answer may well be without any
      this.#deliveredGroup = current.place.group;
      this.#emptyRows = 0;
      this.#rowlessWindows = 0;
    }
    const release = releaseOfChunk(result.chunk);
    for (let i = 0; i < result.chunk.count; i++) {
      const document = result.chunk.ends[2 * i];
      const token = result.chunk.ends[2 * i + 1];
      // the place after a window's last document is the start of the next window: a position has one form only, whatever the chunks were
      const end: SourcePosition = document >= result.documents ? { ...next, ...WINDOW_START } : { ...current.place, document, token };
      const sequence = sequenceOfChunk(result.chunk, i, length, release);
      this.#ready.push({ sequence, tokens: sequence.tokens, end, place: current.place });
      this.#readyBytes += bytesOfSequence(sequence);
    }
    // before the first batch, other lanes wait for their first windows: none of those ahead comes between
    const isWanted = this.#taken > 0 && this.#ready.length < this.#wanted && !plan.isPastEnd(next);
    if (!result.done) this.#ahead ??= isWanted ? this.#open(next, WINDOW_START) : undefined;
    if (isWanted) this.#openGroupAhead(current.place.group, windowCount);
    if (!result.done) return;
    current.handle.close();
    if (this.#deliveredGroup < current.place.group) this.#checkEmptyEpochs(next, result.documents);
    this.#place = next;
    this.#from = WINDOW_START;
    this.#current = this.#ahead;
    this.#ahead = undefined;
  }

  /** A source whose every row is skipped, or whose shards have none, would be searched for ever. */
  #checkEmptyEpochs(next: WindowPlace, rows: number): void {
    this.#emptyRows += rows;
    if (rows === 0) this.#rowlessWindows++;
    const { plan } = this.#options;
    const epochs = (next.group - this.#deliveredGroup) / plan.groupsPerEpoch;
    if (epochs <= EMPTY_EPOCHS_MAX || plan.isPastEnd(next)) return;
    if (this.#emptyRows < LIMITS.emptyRowsMin && this.#rowlessWindows < LIMITS.emptyRowsMin) return;
    const what =
      this.#emptyRows === 0
        ? `the shards of the last ${this.#rowlessWindows} groups of a lane have no rows`
        : `of the last ${this.#emptyRows} rows of a lane, not one could be delivered`;
    throw new HeadraceError('NO_ROWS', `sources.${plan.name}: ${what}`, {
      detail: { source: plan.name, rows: this.#emptyRows },
      hint: 'Every row was empty, excluded, not taken by `where`, held out, or left out by `badRows: skip` or `badBlocks: skip`: set them to fail to see the first one.',
    });
  }

  #open(place: WindowPlace, from: PackPosition): OpenWindow {
    // the lane's own place moves on, up to this window
    const windowsAhead: WindowsAhead = () => (place.group === this.#place.group && place.window === this.#place.window ? 0 : 1);
    const group = this.#openGroup(place.group);
    return { place, handle: this.#options.openWindow(place, from, windowsAhead), group };
  }

  /** What is opened is kept until the lane has left it. */
  #openGroup(group: number): OpenGroup['plan'] {
    const known = this.#groups.find((open) => open.group === group);
    if (known !== undefined) return known.plan;
    const plan = this.#options.plan.open(group, this.#closing.signal);
    if (isPromise(plan)) plan.catch(() => undefined); // the window that needs it fails as well
    this.#groups = [...this.#groups.filter((open) => open.group >= this.#place.group), { group, plan }];
    return plan;
  }

  /** Shards that have to be opened take as long as reading them: as soon as the group before is served, where all of it is wanted. */
  #openGroupAhead(group: number, windowCount: number): void {
    const { plan, sequencesWanted } = this.#options;
    const next = plan.placeAfter({ group, window: windowCount - 1 }, windowCount);
    if (sequencesWanted === Infinity && !plan.isPastEnd(next)) void this.#openGroup(next.group);
  }
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return value instanceof Promise;
}
