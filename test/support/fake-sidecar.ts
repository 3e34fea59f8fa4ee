/** A scripted sidecar: a ROUTER that speaks docs/wire.md, sends batches against credits, and misbehaves where a test tells it to. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Router } from 'zeromq';
import type { BatchArrays } from '../../src/core/batch-arrays.js';
import type { Cursor, LaneStates } from '../../src/plan/cursor.js';
import { framesOfBatch, shapeOfBatches } from '../../src/wire/batch-frames.js';
import { decodeMessage, encodeHeader, type Message, type MessageOf, type WireBatch } from '../../src/wire/messages.js';
import { positionsOf, positionsShapeOf } from '../../src/wire/positions.js';

const PLAN = { seed: 17, 'sequence.length': 4 };

export function cursorOf(
  step: number,
  rows = 1,
): Cursor & { readonly lanes: Record<string, Record<string, [number, number, number, number, number, number]>> } {
  return { version: 2, step, plan: { ...PLAN, 'batch.size': rows }, mixture: [], lanes: { '0': { web: [step, 0, 0, 0, 4 * step, 0] } } };
}

export interface FakeSidecarOptions {
  /** Steps of the run. */
  readonly steps?: number;
  /** Of each batch, all alike; default 1. */
  readonly rows?: number;
  readonly heartbeatMs?: number;
  /** How late it answers. */
  readonly delayMs?: number;
  /** Sees every message first; true takes it over. */
  readonly script?: (sidecar: FakeSidecar, message: Message) => boolean;
}

/** Instead of what a sidecar would say. */
interface BatchOptions extends Partial<WireBatch> {
  readonly rows?: number;
  readonly lanes?: LaneStates;
}

export class FakeSidecar {
  readonly hellos: MessageOf<'HELLO'>[] = [];
  readonly received: Message['type'][] = [];
  inFlightMax = 0;
  session = 0;
  /** The batch of this step arrives with another token than it was made with. */
  damagedStep: number | undefined;
  readonly #options: FakeSidecarOptions;
  readonly #router = new Router({ linger: 0 });
  #peer: Buffer = Buffer.alloc(0);
  #sending: Promise<void> = Promise.resolve();
  #next = 0;
  #credits = 0;

  private constructor(options: FakeSidecarOptions) {
    this.#options = options;
  }

  static async start(address: string, options: FakeSidecarOptions = {}): Promise<FakeSidecar> {
    const sidecar = new FakeSidecar(options);
    await sidecar.#router.bind(address);
    void sidecar.#run();
    return sidecar;
  }

  close(): void {
    this.#router.close();
  }

  /** As after a restart: the old number is unknown. */
  forgetSession(): void {
    this.session++;
  }

  /** Resolves when everything so far is on its way. */
  get sent(): Promise<void> {
    return this.#sending;
  }

  /** To the peer that was heard last. */
  send(message: Message, frames: readonly Uint8Array[] = []): void {
    this.sendRaw([encodeHeader(message), ...frames]);
  }

  sendRaw(frames: readonly Uint8Array[]): void {
    const peer = this.#peer;
    this.#sending = this.#sending.then(() => this.#router.send([peer, ...frames])).catch(() => undefined);
  }

  sendBatch(step: number, { rows = this.#options.rows ?? 1, lanes = cursorOf(step + 1).lanes, ...over }: BatchOptions = {}): void {
    const inEachRow = (values: readonly number[]): number[] => Array.from({ length: rows }, () => values).flat();
    const batch: BatchArrays = {
      rows,
      length: 4,
      tokens: 3 * rows,
      digest: '',
      inputIds: Int32Array.from(inEachRow([step, step + 1, 7, 0])),
      lossMask: Uint8Array.from(inEachRow([1, 1, 1, 0])),
      isMasked: true,
      cuSeqlens: Int32Array.from([0, ...inEachRow([2, 3, 4]).map((end, i) => 4 * Math.floor(i / 3) + end)]),
      segments: Int32Array.from(inEachRow([
        [0, 0, step, 0, 2, 3],
        [0, 0, step + 1, 0, 1, 1],
        [-1, 0, 0, 0, 1, 0],
      ].flat())), // prettier-ignore
    };
    const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
      parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
    const digests = Array.from({ length: rows }, (_, row) =>
      sha256(Buffer.from(batch.inputIds.buffer, 16 * row, 16), Buffer.from(batch.segments.buffer, 72 * row, 72)),
    );
    const digest = sha256(...digests).toString('hex');
    if (step === this.damagedStep) batch.inputIds[0] ^= 1;
    const { mixture } = cursorOf(step + 1);
    const positions = positionsShapeOf(lanes);
    const { head, core, frames } = framesOfBatch({ ...batch, digest });
    const { session } = this;
    const named = { lanes: [...positions.lanes], sources: [...positions.sources] };
    const header = { session, ...shapeOfBatches(batch), ...named, batches: [{ step, ...head, mixture: [...mixture], ...over }] };
    this.send({ type: 'BATCHES', ...header }, [core, new Uint8Array(positionsOf([lanes], positions).buffer), ...frames]);
  }

  /** What a sidecar does. */
  answer(message: Message): void {
    const { steps = 20, rows = 1, heartbeatMs = 200 } = this.#options;
    if (message.type === 'HELLO') {
      const [cursor] = message.cursors as readonly Cursor[];
      this.session++;
      this.#next = message.cursors.length > 0 ? cursor.step : 0;
      this.#credits = message.credits;
      const welcome = { session: this.session, server: 'fake/1', heartbeatMs, rows, length: 4, padId: 0, vocabSize: 100 };
      this.send({ type: 'WELCOME', ...welcome, cursor: cursorOf(this.#next, rows) });
    } else if (message.type === 'MIX' || message.type === 'MIXED') {
      return;
    } else if (message.session !== this.session) {
      this.send({ type: 'ERROR', session: message.session, code: 'SESSION_UNKNOWN', message: 'unknown', hint: '', detail: {} });
      return;
    } else if (message.type === 'PING') {
      this.send({ type: 'PONG', session: this.session });
    } else if (message.type === 'CREDIT') {
      this.#credits += message.credits;
    }
    if (message.type !== 'HELLO' && message.type !== 'CREDIT') return;
    this.inFlightMax = Math.max(this.inFlightMax, this.#credits);
    for (; this.#credits > 0 && this.#next < steps; this.#credits--) this.sendBatch(this.#next++);
    if (this.#next >= steps) this.send({ type: 'END', session: this.session, step: steps });
  }

  async #run(): Promise<void> {
    try {
      for await (const [peer, ...frames] of this.#router) {
        const { message } = decodeMessage(frames);
        this.#peer = peer;
        this.received.push(message.type);
        if (message.type === 'HELLO') this.hellos.push(message);
        if (this.#options.delayMs !== undefined) await delay(this.#options.delayMs);
        if (this.#options.script?.(this, message) !== true) this.answer(message);
      }
    } catch (error) {
      if (!this.#router.closed) throw error;
    }
  }
}
