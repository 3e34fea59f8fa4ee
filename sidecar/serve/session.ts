/** One trainer's session: sends a batch for every credit, in order, until the stream ends or fails. */
import { toErrorRecord, type ErrorRecord } from '../../src/core/errors.js';
import type { Batch, RankStream } from '../../src/stream/rank-stream.js';
import { framesOfBatch } from '../../src/wire/batch-frames.js';
import { encodeHeader } from '../../src/wire/messages.js';

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
  readonly send: (identity: Buffer, frames: readonly Uint8Array[]) => Promise<boolean>;
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
}

export class Session {
  readonly options: SessionOptions;
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
    return { pipelineMs: this.#pipelineMs, clientMs: this.#clientMs + waiting };
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

  addCredits(credits: number): void {
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
      await send(identity, [encodeHeader({ type: 'END', session: id, step: this.#nextStep })]);
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

  #frames(batch: Batch): Uint8Array[] {
    const { arrays, frames, fields } = framesOfBatch(batch);
    const { step, rows, length, tokens, digest, cursor } = batch;
    // the message owns its arrays
    const lanes = Object.fromEntries(
      Object.entries(cursor.lanes).map(([lane, state]) => [
        lane,
        Object.fromEntries(
          Object.entries(state).map(([source, position]) => [source, [...position] as [number, number, number, number, number, number]]),
        ),
      ]),
    );
    const header = encodeHeader({
      type: 'BATCH',
      session: this.options.id,
      step,
      rows,
      length,
      tokens,
      digest,
      cursor: { step: cursor.step, mixture: cursor.mixture.map((change) => ({ ...change, weights: { ...change.weights } })), lanes },
      arrays,
      ...(fields && { fields }),
    });
    return [header, ...frames];
  }
}
