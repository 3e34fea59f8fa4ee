/** The Node client's conversation with a sidecar: HELLO, batches against credits, signs of life, and reconnecting without losing or repeating a step. */
import { Dealer } from 'zeromq';
import { LIMITS } from '../config/limits.js';
import type { BatchArrays } from '../core/batch-arrays.js';
import { BoundedQueue } from '../core/bounded-queue.js';
import { fromErrorRecord, HeadraceError, messageOf, type ErrorDetail } from '../core/errors.js';
import { VERSION } from '../core/version.js';
import { parseCursor, type Cursor, type LaneStates, type PlanRecord } from '../plan/cursor.js';
import type { Split } from '../select/selection.js';
import type { Batch } from '../stream/rank-stream.js';
import { batchDigest } from '../wire/batch-digest.js';
import { batchesOfFrames } from '../wire/batch-frames.js';
import { decodeMessage, encodeHeader, type DecodedMessage, type Message, type MessageOf, type WireBatch } from '../wire/messages.js';
import { lanesOfPositions, positionsShapeOf, samePositionsShape, type PositionsShape } from '../wire/positions.js';

export interface ConnectionOptions {
  readonly address: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly split: Split;
  readonly consumer: string;
  /** Orders this client among others that ask for the same rank: the younger one wins. Microseconds since 1970. */
  readonly incarnation: number;
  readonly cursors: readonly Cursor[];
  readonly expect: PlanRecord;
  /** `undefined`: as many as turn out to help. */
  readonly credits: number | undefined;
  readonly timeoutMs: number;
  /** Whether to compare each batch with its digest. */
  readonly verify: boolean;
  /** Where the same client's connection before this one stood: a restart with another configuration is no continuation. */
  readonly received: Cursor | undefined;
}

/** Credits go back half of them at a time: a message for each would wake four threads for each batch, and batches would come singly as well. */
const CREDIT_PARTS = 2;
/** A last message gets this long to leave a socket that is being closed. */
const LINGER_MS = 200;
/** A deadline that comes this late finds a process that was stopped or busy: what arrived meanwhile is looked at first. */
const LATE_MS = 100;

type ConversationEnd = 'lost' | 'ended';

/** Of every batch of a session. */
interface Shape {
  readonly rows: number;
  readonly length: number;
  readonly positions: PositionsShape;
}

/**
 * Batches that were received wait in a queue of at most `credits` + 1, because each HELLO asks for one at least; nothing comes that was not asked for.
 *
 * Where nobody said how many credits there are, a consumer that has to wait doubles them: it is faster than the way of a batch to it, and what is late may
 * just be late for want of credits. (As TCP widens its window by what comes through.) A trainer that computes for longer than that never does.
 */
export class Connection {
  readonly #batches: BoundedQueue<Batch>;
  readonly #options: ConnectionOptions;
  #socket: Dealer | undefined;
  #session: number | undefined;
  #shape: Shape | undefined;
  /** After the last batch received: where a new session goes on. */
  #received: Cursor | undefined;
  #sending: Promise<void> = Promise.resolve();
  #credits: number;
  /** The first step that the consumer has not taken; undefined: it has taken none. */
  #takenStep: number | undefined;
  /** Bytes of a batch, in the message that came last. */
  #batchBytes = 0;
  /** Received, and not yet counted as taken. */
  #waiting = 0;
  /** Below zero: batches too many were asked for, and are paid back with the next that are taken. */
  #creditsOwed = 0;
  /** For each batch since the last credits: what the consumer waited. As many as there can be batches. */
  #waitsMs: number[] = [];
  /** For the next one, in calls that were in vain. */
  #waitedMs = 0;
  #heartbeatMs: number = LIMITS.heartbeatMs;
  #lastHeardMs = performance.now();
  /** Counted in heartbeats that were listened through: a process that was stopped, or blocked its event loop, has not listened. */
  #silentMs = 0;
  #closed = false;
  #onRoom: (() => void) | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#received = options.received;
    this.#credits = options.credits ?? LIMITS.creditsAtFirst;
    this.#batches = new BoundedQueue((options.credits ?? LIMITS.creditsMax) + 1);
  }

  /** Where the stream stood when the sidecar first answered; undefined before. */
  start: Cursor | undefined;

  /** Runs until the end of the stream, an error, or `close`; whoever takes hears of all three. Never rejects. */
  async run(): Promise<void> {
    this.#heard();
    try {
      while ((await this.#converse()) === 'lost');
      this.#batches.end();
    } catch (error) {
      this.#batches.fail(error instanceof HeadraceError ? error : defectOfClient(error));
    } finally {
      this.#sayBye();
    }
  }

  /**
   * The next batch; undefined after the last. The sidecar may send another for it.
   *
   * Errors: `TIMEOUT` (take again to go on waiting), `SIDECAR_UNREACHABLE`, the reason of `close`, and whatever ended the stream.
   */
  async take(): Promise<Batch | undefined> {
    const batch = await (this.#batches.length > 0 ? this.#batches.take() : this.#wait());
    if (batch === undefined) return undefined;
    if (this.#waitedMs > 0 && this.#takenStep !== undefined) this.#widen();
    this.#waitsMs.push(Math.round(this.#waitedMs * 1000) / 1000);
    this.#waitedMs = 0;
    this.#waiting--;
    this.#takenStep = batch.cursor.step;
    this.#creditsOwed++;
    if (this.#creditsOwed >= Math.max(1, Math.floor(this.#credits / CREDIT_PARTS))) this.#flushCredits();
    this.#onRoom?.();
    return batch;
  }

  /** Ends the session. Whoever waits in `take`, or takes later, hears the reason. */
  close(reason: HeadraceError): void {
    this.#closed = true;
    this.#batches.fail(reason);
    this.#onRoom?.();
    this.#sayBye();
  }

  #widen(): void {
    const widened = Math.min(2 * this.#credits, LIMITS.creditsMax);
    const stepBytes = this.#options.worldSize * this.#batchBytes;
    if (this.#options.credits !== undefined || widened * stepBytes > LIMITS.widenedBytesMax) return;
    this.#creditsOwed += widened - this.#credits;
    this.#credits = widened;
  }

  async #wait(): Promise<Batch | undefined> {
    const sinceMs = performance.now();
    try {
      return await this.#takeWithin(this.#options.timeoutMs);
    } finally {
      this.#waitedMs += performance.now() - sinceMs;
    }
  }

  async #takeWithin(timeoutMs: number): Promise<Batch | undefined> {
    const sinceMs = performance.now();
    const deadline = new AbortController();
    const expire = (): void => deadline.abort(this.#lastHeardMs <= sinceMs ? this.#unreachable() : this.#timeout());
    let timer = setTimeout(() => {
      const stoodStill = performance.now() - sinceMs > timeoutMs + LATE_MS;
      if (stoodStill) timer = setTimeout(expire, this.#heartbeatMs);
      else expire();
    }, timeoutMs);
    try {
      return await this.#batches.take(deadline.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** One connection, from HELLO until it is lost or the stream has ended. */
  async #converse(): Promise<ConversationEnd> {
    this.#socket?.close();
    if (this.#closed) return 'ended';
    // a full queue means that nobody is there, which the deadline covers
    const socket = new Dealer({ receiveTimeout: this.#heartbeatMs, sendTimeout: 0, linger: LINGER_MS });
    this.#socket = socket;
    this.#connect(socket);
    await this.#sayHello();
    for (let silences = 0; silences < LIMITS.silencesMax;) {
      const decoded = await this.#receive(socket);
      if (this.#isClosed()) return 'ended';
      if (decoded === undefined) {
        silences++;
        this.#silentMs += this.#heartbeatMs;
        if (this.#silentMs >= this.#options.timeoutMs) throw this.#unreachable();
        if (this.#session !== undefined) this.#send({ type: 'PING', session: this.#session });
        continue;
      }
      silences = 0;
      this.#heard();
      if ((await this.#handle(decoded)) === 'ended') return 'ended';
      socket.receiveTimeout = this.#heartbeatMs;
    }
    return 'lost';
  }

  #connect(socket: Dealer): void {
    const { address } = this.#options;
    try {
      socket.connect(address);
    } catch (cause) {
      throw new HeadraceError('ADDRESS_INVALID', `cannot connect to ${address}`, {
        detail: { address },
        hint: 'Pass what `headrace serve` prints.',
        cause,
      });
    }
  }

  /** `undefined`: nothing came for one heartbeat. */
  async #receive(socket: Dealer): Promise<DecodedMessage | undefined> {
    if (this.#closed) return undefined; // while the HELLO waited
    let frames: Buffer[];
    try {
      frames = await socket.receive();
    } catch (error) {
      const silent = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (silent || this.#isClosed()) return undefined;
      throw error;
    }
    return decodeMessage(frames);
  }

  async #handle({ message, frames }: DecodedMessage): Promise<ConversationEnd | undefined> {
    if (message.type === 'WELCOME') {
      this.#welcome(message);
      return undefined;
    }
    if (message.type === 'ERROR') {
      // an error of a session before a reconnect is no longer ours
      if (message.session !== 0 && message.session !== this.#session) return undefined;
      this.#session = undefined;
      if (message.code === 'SESSION_UNKNOWN') await this.#sayHello();
      else if (message.code !== 'DRAINING') throw fromErrorRecord(message);
      return undefined; // a draining sidecar falls silent; the next connection finds its successor
    }
    if (!('session' in message) || message.session !== this.#session) return undefined;
    if (message.type === 'END') {
      const due = this.#stepDue();
      if (message.step !== due)
        throw defect(`the stream ended at step ${message.step} where step ${due} was due`, { step: message.step, due });
      return 'ended';
    }
    if (message.type === 'BATCHES') this.#acceptAll(message, frames);
    return undefined;
  }

  #welcome({ session, cursor, heartbeatMs, rows, length }: MessageOf<'WELCOME'>): void {
    const start = parseCursor(cursor);
    const due = this.#stepDue();
    if (start.step !== due) throw defect(`the sidecar starts at step ${start.step} where step ${due} was due`, { step: start.step, due });
    this.#session = session;
    this.#shape = { rows, length, positions: positionsShapeOf(start.lanes) };
    this.#heartbeatMs = heartbeatMs;
    this.#received = start;
    this.start ??= start;
    this.#flushCredits();
  }

  #acceptAll(message: MessageOf<'BATCHES'>, frames: readonly Uint8Array[]): void {
    const { rows, length, batches, lanes, sources } = message;
    const shape = this.#shape;
    if (shape?.rows !== rows || shape.length !== length)
      throw defect(`batches of ${rows} × ${length} came where ${shape?.rows} × ${shape?.length} was due`, { rows, length });
    if (!samePositionsShape(shape.positions, { lanes, sources }))
      throw defect('batches came with positions of other lanes or sources than the session has', { lanes: lanes.join(' ') });
    this.#batchBytes = frames.reduce((sum, { byteLength }) => sum + byteLength, 0) / batches.length;
    for (const [index, arrays] of batchesOfFrames(message, frames).entries())
      this.#accept(batches[index], arrays, lanesOfPositions(frames[1], index, { lanes, sources }));
  }

  #accept({ step, mixture }: WireBatch, arrays: BatchArrays, lanes: LaneStates): void {
    const before = this.#received;
    const due = this.#stepDue();
    if (before === undefined || step !== due) throw defect(`step ${step} came where step ${due} was due`, { step, due });
    if (this.#options.verify) checkDigest(arrays, step);
    if (this.#waiting > this.#credits) throw defect('the sidecar sent more batches than it was asked for', { step });
    const cursor: Cursor = { ...before, step: step + 1, mixture, lanes: { ...before.lanes, ...lanes } };
    this.#received = cursor;
    this.#waiting++;
    this.#batches.offer(Object.assign(arrays, { step, cursor }));
  }

  /** The step that the stream goes on with: after what was received, or after what was asked for. */
  #stepDue(): number {
    return (this.#received ?? this.#options.cursors.at(0))?.step ?? 0;
  }

  /** Each HELLO asks for a batch at least. Where the consumer takes none over several of them, they wait, so that the queue keeps its bound. */
  async #awaitRoom(): Promise<void> {
    while (this.#waiting > this.#credits && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
      });
      this.#heard(); // nobody was asked, so nobody was silent
    }
    this.#onRoom = undefined;
  }

  async #sayHello(): Promise<void> {
    this.#session = undefined;
    await this.#awaitRoom();
    if (this.#isClosed()) return;
    const { rank, worldSize, split, consumer, incarnation, cursors, expect } = this.#options;
    const received = this.#received;
    const room = this.#credits - this.#waiting;
    const asked = Math.max(1, room);
    this.#creditsOwed = room - asked;
    const named = split === 'train' ? {} : { split };
    this.#send({
      type: 'HELLO',
      client: `node/${VERSION}`,
      consumer,
      incarnation,
      rank,
      worldSize,
      credits: asked,
      // a sidecar that was restarted with another configuration is no continuation
      // and one that knows no splits would not hear which is asked for: it has no such entry in its plan
      expect: received?.plan ?? { ...expect, ...named },
      cursors: received === undefined ? [...cursors] : [received],
      ...named,
    });
  }

  /** Credits that add up while a message is on its way travel together. */
  #flushCredits(): void {
    this.#enqueue(async () => {
      if (this.#creditsOwed <= 0 || this.#session === undefined) return;
      const credits = Math.min(this.#creditsOwed, LIMITS.creditsMax);
      this.#creditsOwed -= credits;
      const waitsMs = this.#waitsMs.splice(0, LIMITS.creditsMax);
      await this.#socket?.send(encodeHeader({ type: 'CREDIT', session: this.#session, credits, step: this.#takenStep ?? 0, waitsMs }));
    });
  }

  #sayBye(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    const session = this.#session;
    this.#session = undefined;
    this.#enqueue(async () => {
      if (session !== undefined) await socket.send(encodeHeader({ type: 'BYE', session }));
      socket.close();
    });
  }

  #send(message: Message): void {
    const header = encodeHeader(message);
    this.#enqueue(async () => {
      await this.#socket?.send(header);
    });
  }

  /** A socket sends one message at a time. A message that cannot be sent is a silence to the other side, which both sides' deadlines cover. */
  #enqueue(work: () => Promise<void>): void {
    this.#sending = this.#sending.then(work).catch(() => undefined);
  }

  #heard(): void {
    this.#lastHeardMs = performance.now();
    this.#silentMs = 0;
  }

  /** As a call, so that the compiler does not think that waiting changes nothing. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #unreachable(): HeadraceError {
    const { address, timeoutMs } = this.#options;
    const silentMs = Math.round(performance.now() - this.#lastHeardMs);
    return new HeadraceError('SIDECAR_UNREACHABLE', `no sidecar answered at ${address} for ${(silentMs / 1000).toFixed(1)} s`, {
      detail: { address, silentMs, timeoutMs },
      hint: 'Check that `headrace serve` runs on this machine, with this address, as this user. Call next() again to look once more.',
    });
  }

  #timeout(): HeadraceError {
    const { address, timeoutMs } = this.#options;
    return new HeadraceError('TIMEOUT', `no batch came from ${address} within ${timeoutMs} ms`, {
      detail: { address, timeoutMs },
      hint: 'The sidecar is slow or paused: its log and /metrics say what it waits for. Call next() again to go on waiting.',
    });
  }
}

/** Errors: `DIGEST_MISMATCH`. */
function checkDigest(batch: BatchArrays, step: number): void {
  const found = batchDigest(batch);
  if (found === batch.digest) return;
  throw new HeadraceError('DIGEST_MISMATCH', `the batch of step ${step} is not what the sidecar made`, {
    detail: { step, digest: batch.digest, found },
    hint: 'Look for a faulty memory or a proxy between the two.',
  });
}

function defect(problem: string, detail: ErrorDetail): HeadraceError {
  return new HeadraceError('BAD_MESSAGE', problem, { detail, hint: 'This is a defect of the sidecar: please report it with both logs.' });
}

function defectOfClient(cause: unknown): HeadraceError {
  return new HeadraceError('INTERNAL', `the client failed: ${messageOf(cause)}`, {
    hint: 'This is a defect of headrace: please report it.',
    cause,
  });
}
