/** The Node client's conversation with a sidecar: HELLO, batches against credits, signs of life, and reconnecting without losing or repeating a step. */
import { Dealer } from 'zeromq';
import { LIMITS } from '../config/limits.js';
import { BoundedQueue } from '../core/bounded-queue.js';
import { fromErrorRecord, HeadraceError } from '../core/errors.js';
import { VERSION } from '../core/version.js';
import { parseCursor, type Cursor, type PlanRecord } from '../plan/cursor.js';
import type { Batch } from '../stream/rank-stream.js';
import { batchOfFrames } from '../wire/batch-frames.js';
import { decodeMessage, encodeHeader, type DecodedMessage, type Message, type MessageOf } from '../wire/messages.js';

export interface ConnectionOptions {
  readonly address: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly consumer: string;
  readonly cursors: readonly Cursor[];
  readonly expect: PlanRecord;
  readonly credits: number;
  readonly timeoutMs: number;
}

/** Silences of one heartbeat after which a connection counts as lost. */
const SILENCES_MAX = 3;
/** A last message gets this long to leave a socket that is being closed. */
const LINGER_MS = 200;

type ConversationEnd = 'lost' | 'ended';

export class Connection {
  /** Received and not yet taken. One more than the credits: a HELLO asks for at least one batch. */
  readonly batches: BoundedQueue<Batch>;
  readonly #options: ConnectionOptions;
  /** Orders this client among others that ask for the same rank: the younger one wins. Microseconds since 1970. */
  readonly #incarnation = Math.round((performance.timeOrigin + performance.now()) * 1000);
  #socket: Dealer | undefined;
  #session: number | undefined;
  /** After the last batch received: where a new session goes on. */
  #received: Cursor | undefined;
  #sending: Promise<void> = Promise.resolve();
  #creditsOwed = 0;
  #lastHeardMs = performance.now();
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.batches = new BoundedQueue(options.credits + 1);
  }

  /** Where the stream stood when the sidecar first answered; undefined before. */
  start: Cursor | undefined;

  /** Runs until the end of the stream, an error, or `close`; the queue hears of all three. Never rejects. */
  async run(): Promise<void> {
    this.#lastHeardMs = performance.now();
    try {
      while ((await this.#converse()) === 'lost') this.#checkDeadline();
      this.batches.end();
    } catch (error) {
      this.batches.fail(error);
    } finally {
      this.#sayBye();
    }
  }

  /** The consumer took a batch: the sidecar may send another. Credits that add up while a message is on its way travel together. */
  returnCredit(): void {
    this.#creditsOwed++;
    this.#flushCredits();
  }

  close(): void {
    this.#closed = true;
    this.#sayBye();
  }

  /** One connection, from HELLO until it is lost or the stream has ended. */
  async #converse(): Promise<ConversationEnd> {
    this.#socket?.close();
    const socket = new Dealer({ receiveTimeout: LIMITS.heartbeatMs, linger: LINGER_MS });
    this.#socket = socket;
    socket.connect(this.#options.address);
    this.#sayHello();
    for (let silences = 0; silences < SILENCES_MAX;) {
      const decoded = await this.#receive(socket);
      if (this.#closed) return 'ended';
      if (decoded === undefined) {
        silences++;
        this.#checkDeadline();
        if (this.#session !== undefined) this.#send({ type: 'PING', session: this.#session });
        continue;
      }
      silences = 0;
      this.#lastHeardMs = performance.now();
      if (this.#handle(decoded) === 'ended') return 'ended';
    }
    return 'lost';
  }

  /** `undefined`: nothing came for one heartbeat. */
  async #receive(socket: Dealer): Promise<DecodedMessage | undefined> {
    let frames: Buffer[];
    try {
      frames = await socket.receive();
    } catch (error) {
      const silent = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (silent || this.#closed) return undefined;
      throw error;
    }
    return decodeMessage(frames);
  }

  #handle({ message, frames }: DecodedMessage): ConversationEnd | undefined {
    if (message.type === 'WELCOME') {
      this.#session = message.session;
      this.#received = parseCursor(message.cursor);
      this.start ??= this.#received;
      this.#flushCredits();
      return undefined;
    }
    if (message.type === 'ERROR') {
      // an error of a session before a reconnect is no longer ours
      if (message.session !== 0 && message.session !== this.#session) return undefined;
      this.#session = undefined;
      if (message.code === 'SESSION_UNKNOWN') this.#sayHello();
      else if (message.code !== 'DRAINING') throw fromErrorRecord(message);
      return undefined; // a draining sidecar falls silent; the next connection finds its successor
    }
    if (!('session' in message) || message.session !== this.#session) return undefined;
    if (message.type === 'END') return 'ended';
    if (message.type === 'BATCH') this.#accept(message, frames);
    return undefined;
  }

  #accept(message: MessageOf<'BATCH'>, frames: readonly Uint8Array[]): void {
    const before = this.#received;
    if (before === undefined || message.step !== before.step) {
      throw new HeadraceError('BAD_MESSAGE', `step ${message.step} came where step ${before?.step ?? 0} was due`, {
        detail: { step: message.step },
        hint: 'This is a defect of the sidecar: please report it with both logs.',
      });
    }
    const cursor: Cursor = { ...before, step: message.cursor.step, lanes: { ...before.lanes, ...message.cursor.lanes } };
    this.#received = cursor;
    if (!this.batches.offer({ ...batchOfFrames(message, frames), step: message.step, cursor })) {
      throw new HeadraceError('BAD_MESSAGE', 'the sidecar sent more batches than it was asked for', {
        hint: 'This is a defect of the sidecar: please report it with both logs.',
      });
    }
  }

  #sayHello(): void {
    const { rank, worldSize, consumer, cursors, expect, credits } = this.#options;
    const received = this.#received;
    this.#session = undefined;
    this.#creditsOwed = 0;
    this.#send({
      type: 'HELLO',
      client: `node/${VERSION}`,
      consumer,
      incarnation: this.#incarnation,
      rank,
      worldSize,
      credits: Math.max(1, credits - this.batches.length),
      // a sidecar that was restarted with another configuration is no continuation
      expect: received?.plan ?? expect,
      cursors: received === undefined ? [...cursors] : [received],
    });
  }

  #flushCredits(): void {
    this.#enqueue(async () => {
      if (this.#creditsOwed === 0 || this.#session === undefined) return;
      const credits = Math.min(this.#creditsOwed, LIMITS.creditsMax);
      this.#creditsOwed -= credits;
      await this.#socket?.send(encodeHeader({ type: 'CREDIT', session: this.#session, credits }));
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
    this.#enqueue(async () => {
      await this.#socket?.send(encodeHeader(message));
    });
  }

  /** A socket sends one message at a time. A message that cannot be sent is a silence to the other side, which both sides' deadlines cover. */
  #enqueue(work: () => Promise<void>): void {
    this.#sending = this.#sending.then(work).catch(() => undefined);
  }

  #checkDeadline(): void {
    const silentMs = performance.now() - this.#lastHeardMs;
    const { address, timeoutMs } = this.#options;
    if (silentMs < timeoutMs) return;
    throw new HeadraceError('SIDECAR_UNREACHABLE', `no sidecar answered at ${address} for ${Math.round(silentMs / 1000)} s`, {
      detail: { address, silentMs: Math.round(silentMs), timeoutMs },
      hint: 'Check that `headrace serve` runs on this machine, with this address, as this user.',
    });
  }
}
