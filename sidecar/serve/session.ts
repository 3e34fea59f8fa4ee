/** One trainer's session: sends a batch for every credit, in order, until the stream ends or fails. */
import { toErrorRecord, type ErrorRecord } from '../../src/core/errors.js';
import type { Batch, RankStream } from '../../src/stream/rank-stream.js';
import { framesOfBatch } from '../../src/wire/batch-frames.js';
import { headerText } from '../../src/wire/messages.js';
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
  #credits: number;
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

  /** `waitsMs`: how long the trainer waited for batches since the last time. */
  addCredits(credits: number, waitsMs: readonly number[] = []): void {
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
    this.#run().catch((error: unknown) => {
      if (!this.#closed) this.options.onFailure(toErrorRecord(error));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.options.stream.close();
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
    const { id, identity, stream, send, onBatch, onGone } = this.options;
    const started = performance.now();
    const batch = await stream.next();
    this.#pipelineMs += performance.now() - started;
    if (this.#closed) return false;
    if (batch === undefined) {
      this.#ended = true;
      await send(identity, [headerText({ type: 'END', session: id, step: this.#nextStep })]);
      return false;
    }
    this.#credits--;
    this.#nextStep = batch.step + 1;
    if (!(await send(identity, this.#frames(batch)))) {
      onGone();
      return false;
    }
    this.#sentMs = performance.now();
    onBatch(batch);
    return true;
  }

  #frames(batch: Batch): Frame[] {
    const { arrays, frames, fields } = framesOfBatch(batch);
    const { step, rows, length, tokens, digest } = batch;
    const { mixture, lanes } = batch.cursor;
    const cursor = { step: batch.cursor.step, mixture, lanes };
    const session = this.options.id;
    return [headerText({ type: 'BATCH', session, step, rows, length, tokens, digest, cursor, arrays, fields }), ...frames];
  }
}
