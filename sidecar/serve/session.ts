/**
 * One trainer's session: sends a batch for every credit, in order, until the stream ends or fails.
 *
 *   credits ──▶ stream.next() ──▶ gathered: what is ready in one turn of the event loop ──▶ one message ──▶ sent: until the trainer says that it took them
 */
import { toErrorRecord, type ErrorRecord } from '../../src/core/errors.js';
import type { Batch, RankStream } from '../../src/stream/rank-stream.js';
import { frameOfCores, framesOfBatch, isBehind, shapeOfBatches } from '../../src/wire/batch-frames.js';
import { batchesText, batchText, headerText } from '../../src/wire/messages.js';
import { positionNumbers, positionsOf, positionsShapeOf, type PositionsShape } from '../../src/wire/positions.js';
import type { Frame } from './socket.js';
import { TrainerAccount, type TrainerWaits } from './trainer-waits.js';

export interface SessionOptions {
  readonly id: number;
  /** Which stream, for whom: `consumer`, `rank`, `worldSize`, `split`. */
  readonly key: string;
  readonly incarnation: number;
  readonly identity: Buffer;
  readonly client: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly stream: RankStream;
  readonly send: (identity: Buffer, frames: readonly Frame[]) => Promise<boolean>;
  readonly onBatch: (batch: Batch) => void;
  /** Told once, when the session can do no more: with the reason where it failed. */
  readonly onFailure: (error: ErrorRecord) => void;
  readonly onGone: () => void;
}

/**
 * Batches that are ready together travel together up to here: sixteen of 64 KiB of ids, with all that goes with these. A message wakes four threads on its
 * way, which costs as much as a MiB; a trainer that waits for the first of them waits half a millisecond longer for so much.
 */
export const MESSAGE_BYTES_MAX = 5 * 2 ** 18;
/** Of a character of a header in UTF-8, at most: a header has its bound, too (`LIMITS.headerBytesMax`). */
const CHARACTER_BYTES = 3;

/** What the next message holds. */
interface Gathered {
  readonly batches: Batch[];
  readonly texts: string[];
  readonly cores: Uint8Array<ArrayBuffer>[];
  readonly frames: Frame[];
  bytes: number;
}

/** How long a session waited, and for whom. */
export interface SessionWaits {
  /** For the pipeline, with a credit in hand. */
  readonly pipelineMs: number;
  /** For the trainer, without a credit. */
  readonly clientMs: number;
  /** What the trainer says that it waited, and for what. */
  readonly trainer: TrainerWaits;
}

export class Session {
  readonly options: SessionOptions;
  readonly #account: TrainerAccount;
  readonly #positions: PositionsShape;
  #credits: number;
  #gathered = nothingGathered();
  #flushing: NodeJS.Immediate | undefined;
  /** Sent, and not yet known to be taken. */
  readonly #sent: Batch[] = [];
  #pumping = false;
  #closed = false;
  #ended = false;
  #nextStep: number;
  #heardMs = performance.now();
  #sentMs = performance.now();
  #idleSinceMs = performance.now();
  #pipelineMs = 0;
  #clientMs = 0;

  constructor(options: SessionOptions, credits: number) {
    this.options = options;
    this.#credits = credits;
    this.#nextStep = options.stream.start.step;
    this.#account = new TrainerAccount(options.stream.stalls);
    this.#positions = positionsShapeOf(options.stream.start.lanes);
  }

  get credits(): number {
    return this.#credits;
  }

  /** The next step that will be sent. */
  get nextStep(): number {
    return this.#nextStep;
  }

  /** The stream was delivered to its end. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  get waits(): SessionWaits {
    const waiting = !this.#pumping && !this.#ended && this.#credits === 0 ? performance.now() - this.#idleSinceMs : 0;
    return { pipelineMs: this.#pipelineMs, clientMs: this.#clientMs + waiting, trainer: this.#account.waits };
  }

  get silentMs(): number {
    return performance.now() - this.#heardMs;
  }

  /** How long no batch was sent either: a trainer that hears of the sidecar owes it no sign of life for one heartbeat. */
  get quietMs(): number {
    return performance.now() - Math.max(this.#heardMs, this.#sentMs);
  }

  heard(): void {
    this.#heardMs = performance.now();
  }

  /** `step`: all batches before it were taken. `waitsMs`: how long the trainer waited for batches since the last time. */
  addCredits(credits: number, step: number, waitsMs: readonly number[] = []): void {
    while (this.#sent.length > 0 && this.#sent[0].step < step) {
      const taken = this.#sent.shift();
      if (taken !== undefined) this.options.stream.giveBack(taken);
    }
    if (waitsMs.length > 0) {
      const waitedMs = waitsMs.reduce((sum, ms) => sum + ms, 0);
      this.#account.add(waitedMs, this.options.stream.stalls);
    }
    if (!this.#pumping && this.#credits === 0) this.#clientMs += performance.now() - this.#idleSinceMs;
    this.#credits += credits;
    this.pump();
  }

  /** Sends while there are credits. Runs at most once at a time. */
  pump(): void {
    if (this.#pumping || this.#closed || this.#ended) return;
    this.#pumping = true;
    this.#run().catch((error: unknown) => this.#fail(error));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearImmediate(this.#flushing);
    this.options.stream.close();
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    // what was made before it is the trainer's
    void this.#flush().finally(() => {
      if (!this.#closed) this.options.onFailure(toErrorRecord(error));
    });
  }

  async #run(): Promise<void> {
    try {
      while (this.#credits > 0 && !this.#closed) {
        if (!(await this.#sendNext())) return;
      }
    } finally {
      // in the same turn as the last look at the credits: one that came between the two would wake nobody
      this.#pumping = false;
      this.#idleSinceMs = performance.now();
    }
  }

  /** Answers whether more may follow. */
  async #sendNext(): Promise<boolean> {
    const { id, identity, stream, send } = this.options;
    const started = performance.now();
    const batch = await stream.next();
    this.#pipelineMs += performance.now() - started;
    if (this.#closed) return false;
    if (batch === undefined) {
      await this.#flush();
      this.#ended = true;
      await send(identity, [headerText({ type: 'END', session: id, step: this.#nextStep })]);
      return false;
    }
    this.#credits--;
    this.#nextStep = batch.step + 1;
    await this.#gather(batch);
    return true;
  }

  async #gather(batch: Batch): Promise<void> {
    const { head, core, frames } = framesOfBatch(batch);
    const text = batchText({ ...head, step: batch.step, mixture: batch.cursor.mixture });
    const ownBytes = core.byteLength + CHARACTER_BYTES * text.length + positionNumbers(this.#positions) * Float64Array.BYTES_PER_ELEMENT;
    const bytes = frames.reduce((sum, { byteLength }) => sum + byteLength, ownBytes);
    const last = this.#gathered.cores.at(-1);
    // what lies elsewhere would be copied
    const isElsewhere = last !== undefined && !isBehind(core, last);
    if (isElsewhere || this.#gathered.bytes + bytes > MESSAGE_BYTES_MAX) await this.#flush();
    this.#gathered.batches.push(batch);
    this.#gathered.texts.push(text);
    this.#gathered.cores.push(core);
    this.#gathered.frames.push(...frames);
    this.#gathered.bytes += bytes;
    // what is ready is got without leaving this turn of the event loop
    this.#flushing ??= setImmediate(() => {
      this.#flush().catch((error: unknown) => this.#fail(error));
    });
  }

  /** Sends what was gathered. */
  async #flush(): Promise<void> {
    const { id, identity, send, onBatch, onGone } = this.options;
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const { batches, texts, cores, frames } = this.#gathered;
    if (batches.length === 0 || this.#closed) return;
    this.#gathered = nothingGathered();
    this.#sent.push(...batches);
    const { lanes, sources } = this.#positions;
    const header = batchesText({ session: id, ...shapeOfBatches(batches[0]), lanes, sources }, texts);
    const lanesAfter = batches.map(({ cursor }) => cursor.lanes);
    const positions = new Uint8Array(positionsOf(lanesAfter, this.#positions).buffer);
    if (!(await send(identity, [header, frameOfCores(cores), positions, ...frames]))) {
      onGone();
      return;
    }
    this.#sentMs = performance.now();
    for (const batch of batches) onBatch(batch);
  }
}

function nothingGathered(): Gathered {
  return { batches: [], texts: [], cores: [], frames: [], bytes: 0 };
}
