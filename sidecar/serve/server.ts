/** Serves a pipeline to trainers, as docs/wire.md says: who is who, who may have what, and who is gone. */
import type { Logger } from 'pino';
import { LIMITS } from '../../src/config/limits.js';
import { HeadraceError, messageOf, toErrorRecord, type ErrorRecord } from '../../src/core/errors.js';
import { VERSION } from '../../src/core/version.js';
import type { Pipeline } from '../../src/pipeline.js';
import { parseCursor } from '../../src/plan/cursor.js';
import type { Batch } from '../../src/stream/rank-stream.js';
import { decodeMessage, headerText, type Message, type MessageOf } from '../../src/wire/messages.js';
import { MESSAGE_BYTES_MAX, Session, type SessionWaits } from './session.js';
import { addTrainerWaits, NO_WAITS, waitedMsOf } from './trainer-waits.js';
import type { ServingSocket } from './socket.js';

export interface ServerOptions {
  readonly pipeline: Pipeline;
  readonly socket: ServingSocket;
  readonly leaseMs: number;
  readonly log: Logger;
  readonly onBatch: (batch: Batch) => void;
}

/** Counted since the start. */
export interface ServerCounters {
  badMessages: number;
  leasesExpired: number;
  fenced: number;
  refused: number;
}

/** A trainer that is there says something every heartbeat. */
const QUIET_MS_MAX = LIMITS.silencesMax * LIMITS.heartbeatMs;

export class Server {
  readonly counters: ServerCounters = { badMessages: 0, leasesExpired: 0, fenced: 0, refused: 0 };
  readonly #options: ServerOptions;
  readonly #sessions = new Map<number, Session>();
  readonly #byKey = new Map<string, Session>();
  #nextSession = 1;
  #endedWaits: SessionWaits = { pipelineMs: 0, clientMs: 0, trainer: NO_WAITS };
  #onWait: ((rank: number, waitMs: number) => void) | undefined;
  #draining = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  get sessions(): readonly Session[] {
    return [...this.#sessions.values()];
  }

  /** Waits of all sessions, ended ones included. */
  waits(): SessionWaits {
    const all = [this.#endedWaits, ...this.sessions.map((session) => session.waits)];
    return all.reduce(addWaits);
  }

  /** `onWait` is told how long the trainer of a rank waited for each of its batches, as it says. */
  tellWaits(onWait: (rank: number, waitMs: number) => void): void {
    this.#onWait = onWait;
  }

  /** Serves until the socket is closed. */
  async run(): Promise<void> {
    const { socket, leaseMs } = this.#options;
    // silences are checked a few times in their length, so that they end at most a quarter late
    const everyMs = Math.min(leaseMs, QUIET_MS_MAX) / 4;
    let checkedMs = performance.now();
    const silences = setInterval(() => {
      // who was stopped has not listened: what has arrived meanwhile is heard before the next check
      const stoodStill = performance.now() - checkedMs > 2 * everyMs;
      checkedMs = performance.now();
      if (!stoodStill) this.#checkSilences();
    }, everyMs);
    try {
      for await (const [identity, ...frames] of socket.receive()) this.#receive(identity, frames);
    } finally {
      clearInterval(silences);
      for (const session of this.#sessions.values()) session.close();
    }
  }

  /** Refuses new sessions, and resolves when none is left whose trainer answers and has not been delivered to its end. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (!this.#isBusy()) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  #isBusy(): boolean {
    return this.sessions.some((session) => !session.hasEnded && session.quietMs < QUIET_MS_MAX);
  }

  #receive(identity: Buffer, frames: readonly Buffer[]): void {
    let message: Message;
    try {
      message = decodeMessage(frames).message;
    } catch (error) {
      this.counters.badMessages++;
      this.#options.log.warn({ peer: identity.toString('hex'), error: messageOf(error) }, 'a peer sent a malformed message');
      this.#refuse(identity, toErrorRecord(error));
      return;
    }
    if (message.type === 'HELLO') {
      this.#hello(identity, message);
      return;
    }
    if (message.type === 'MIX') {
      void this.#mix(identity, message);
      return;
    }
    if (message.type === 'MIXED') {
      this.counters.badMessages++;
      this.#refuse(identity, badMessage('MIXED is not for a sidecar'));
      return;
    }
    const session = this.#sessions.get(message.session);
    if (session?.options.identity.equals(identity) !== true) {
      if (message.type !== 'BYE') this.#sendError(identity, message.session, sessionUnknown(message.session));
      return;
    }
    session.heard();
    switch (message.type) {
      case 'CREDIT':
        this.#credit(session, message);
        return;
      case 'PING':
        void this.#options.socket.send(identity, [headerText({ type: 'PONG', session: message.session })]);
        return;
      case 'BYE':
        this.#forget(session, 'left');
        return;
      default:
        this.counters.badMessages++;
        this.#fail(session, badMessage(`${message.type} is not for a sidecar`));
    }
  }

  async #mix(identity: Buffer, { at, after, weights, ramp }: MessageOf<'MIX'>): Promise<void> {
    const { pipeline, socket, log } = this.#options;
    try {
      if ((at === null) === (after === null)) throw new HeadraceError('BAD_MESSAGE', 'MIX has either `at` or `after`');
      const change = await pipeline.changeMixture({ at: at === null ? { after: after ?? 0 } : { step: at }, weights, ramp });
      log.info({ at: change.at, ramp, ...weights }, 'the weights change');
      void socket.send(identity, [headerText({ type: 'MIXED', at: change.at, weights, ramp })]);
    } catch (error) {
      const record = toErrorRecord(error);
      log.warn({ code: record.code }, record.message);
      this.#refuse(identity, record);
    }
  }

  #credit(session: Session, { credits, step, waitsMs = [] }: MessageOf<'CREDIT'>): void {
    if (session.credits + credits > LIMITS.creditsMax) {
      this.counters.badMessages++;
      this.#fail(session, badMessage(`it asked for ${session.credits + credits} batches at once, and may ask for ${LIMITS.creditsMax}`));
      return;
    }
    for (const waitMs of waitsMs) this.#onWait?.(session.options.rank, waitMs);
    session.addCredits(credits, step, waitsMs);
  }

  #hello(identity: Buffer, hello: MessageOf<'HELLO'>): void {
    const { pipeline, log } = this.#options;
    const split = hello.split ?? 'train';
    const key = JSON.stringify([hello.consumer, hello.rank, hello.worldSize, split]);
    const known = this.#byKey.get(key);
    try {
      // the same trainer, come back: it has left its session
      if (this.#draining && known?.options.incarnation === hello.incarnation) this.#forget(known, 'left');
      if (this.#draining) throw new HeadraceError('DRAINING', 'this sidecar is shutting down', { hint: 'Connect to its successor.' });
      if (known !== undefined && hello.incarnation < known.options.incarnation) throw staleClient(hello, known);
      if (known === undefined && this.#sessions.size >= LIMITS.sessionsMax) {
        throw new HeadraceError('BAD_MESSAGE', `this sidecar has ${LIMITS.sessionsMax} sessions and takes no more`, {
          hint: 'Do all trainers use one consumer name a purpose?',
        });
      }
      const stream = pipeline.openStream({
        rank: hello.rank,
        worldSize: hello.worldSize,
        split,
        expect: hello.expect,
        slabBytes: MESSAGE_BYTES_MAX,
        ...(hello.cursors.length > 0 && { cursor: hello.cursors.map(parseCursor) }),
      });
      const session = this.#createSession(identity, hello, key, stream);
      // after the new stream has joined what the old one had: its steps need not be made again
      if (known !== undefined) this.#replace(known, hello);
      this.#sessions.set(session.options.id, session);
      this.#byKey.set(key, session);
      this.#welcome(session);
      log.info(
        { session: session.options.id, rank: hello.rank, worldSize: hello.worldSize, split, client: hello.client, step: stream.start.step },
        'trainer connected',
      );
    } catch (error) {
      this.counters.refused++;
      const record = toErrorRecord(error);
      log.warn(
        { rank: hello.rank, worldSize: hello.worldSize, split, client: hello.client, code: record.code },
        `trainer refused: ${record.message}`,
      );
      this.#refuse(identity, record);
    }
  }

  #createSession(identity: Buffer, hello: MessageOf<'HELLO'>, key: string, stream: Session['options']['stream']): Session {
    const { socket, onBatch } = this.#options;
    const session: Session = new Session(
      {
        id: this.#nextSession++,
        key,
        incarnation: hello.incarnation,
        identity,
        client: hello.client,
        rank: hello.rank,
        worldSize: hello.worldSize,
        stream,
        send: async (peer, frames) => {
          const sent = await socket.send(peer, frames);
          if (session.hasEnded) this.#checkEmpty();
          return sent;
        },
        onBatch,
        onFailure: (error) => this.#fail(session, error),
        onGone: () => this.#forget(session, 'unreachable'),
      },
      hello.credits,
    );
    return session;
  }

  #welcome(session: Session): void {
    const { pipeline, socket } = this.#options;
    const { id, identity, stream, worldSize } = session.options;
    const { batchSize, length, tokenizer } = pipeline.info;
    const welcome = headerText({
      type: 'WELCOME',
      session: id,
      server: `headrace/${VERSION}`,
      heartbeatMs: LIMITS.heartbeatMs,
      rows: batchSize / worldSize,
      length,
      padId: tokenizer.padId,
      vocabSize: tokenizer.vocabSize,
      cursor: stream.start,
    });
    void socket.send(identity, [welcome]);
    session.pump();
  }

  /** An older session of the same stream: the same client's before a reconnect goes silently, another client's is told. */
  #replace(known: Session, hello: MessageOf<'HELLO'>): void {
    if (known.options.incarnation !== hello.incarnation) {
      this.counters.fenced++;
      this.#sendError(known.options.identity, known.options.id, {
        code: 'FENCED',
        message: `a newer trainer took over rank ${known.options.rank} of ${known.options.worldSize}`,
        hint: 'Only one trainer of a rank and consumer name is served; give model-parallel ranks different consumer names.',
        detail: { rank: known.options.rank, worldSize: known.options.worldSize },
      });
    }
    this.#forget(known, 'replaced');
  }

  #fail(session: Session, error: ErrorRecord): void {
    this.#options.log.error({ session: session.options.id, rank: session.options.rank, code: error.code, ...error.detail }, error.message);
    this.#sendError(session.options.identity, session.options.id, error);
    this.#forget(session, 'failed');
  }

  #forget(session: Session, reason: string): void {
    session.close();
    if (!this.#sessions.delete(session.options.id)) return;
    this.#endedWaits = addWaits(this.#endedWaits, session.waits);
    if (this.#byKey.get(session.options.key) === session) this.#byKey.delete(session.options.key);
    const waitedMs = Math.round(waitedMsOf(session.waits.trainer));
    this.#options.log.info(
      { session: session.options.id, rank: session.options.rank, step: session.nextStep, waitedMs, reason },
      'session ended',
    );
    this.#checkEmpty();
  }

  #checkEmpty(): void {
    if (!this.#isBusy()) this.#onEmpty?.();
  }

  #checkSilences(): void {
    for (const session of this.#sessions.values()) {
      if (session.silentMs < this.#options.leaseMs) continue;
      this.counters.leasesExpired++;
      this.#forget(session, 'lease expired');
    }
    this.#checkEmpty();
  }

  #refuse(identity: Buffer, error: ErrorRecord): void {
    this.#sendError(identity, 0, error);
  }

  #sendError(identity: Buffer, session: number, { code, message, hint, detail }: ErrorRecord): void {
    void this.#options.socket.send(identity, [headerText({ type: 'ERROR', session, code, message, hint, detail: { ...detail } })]);
  }
}

function addWaits(a: SessionWaits, b: SessionWaits): SessionWaits {
  return {
    pipelineMs: a.pipelineMs + b.pipelineMs,
    clientMs: a.clientMs + b.clientMs,
    trainer: addTrainerWaits(a.trainer, b.trainer),
  };
}

function sessionUnknown(session: number): ErrorRecord {
  return { code: 'SESSION_UNKNOWN', message: `this sidecar has no session ${session}`, hint: 'Say HELLO again.', detail: { session } };
}

function badMessage(problem: string): ErrorRecord {
  return {
    code: 'BAD_MESSAGE',
    message: `a message does not follow the wire protocol: ${problem}`,
    hint: 'docs/wire.md is the specification.',
    detail: {},
  };
}

function staleClient(hello: MessageOf<'HELLO'>, known: Session): HeadraceError {
  return new HeadraceError('STALE_CLIENT', `a newer trainer serves rank ${hello.rank} of ${hello.worldSize} already`, {
    detail: { rank: hello.rank, worldSize: hello.worldSize, incarnation: hello.incarnation, current: known.options.incarnation },
    hint: 'This trainer was replaced while it was away: end it.',
  });
}
