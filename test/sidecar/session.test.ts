import { describe, expect, it } from 'vitest';
import { MESSAGE_BYTES_MAX, Session, type SessionOptions } from '../../sidecar/serve/session.js';
import { BatchMemory } from '../../src/batch/batch-memory.js';
import { packedLayout, packedShapeOf, packedViews } from '../../src/core/packed-arrays.js';
import { NO_STALLS } from '../../src/stream/stalls.js';
import type { Batch, RankStream } from '../../src/stream/rank-stream.js';
import { decodeMessage } from '../../src/wire/messages.js';

const LENGTH = 4;

function batchOf(step: number, rows = 1): Batch {
  return {
    step,
    rows,
    length: LENGTH,
    tokens: rows * LENGTH,
    digest: '0'.repeat(64),
    inputIds: new Int32Array(rows * LENGTH),
    lossMask: new Uint8Array(rows * LENGTH).fill(1),
    isMasked: false,
    cuSeqlens: Int32Array.of(0, rows * LENGTH),
    segments: new Int32Array(6),
    cursor: { version: 2, step: step + 1, plan: {}, mixture: [], lanes: {} },
  };
}

/** As of a sidecar: batches that follow one another lie side by side. */
function batchesSideBySide(): (step: number) => Batch {
  const memory = new BatchMemory({ buffersMax: 4, bytesMax: 2 ** 22, slabBytes: MESSAGE_BYTES_MAX });
  return (step) => {
    const batch = batchOf(step);
    const shape = packedShapeOf(batch);
    const { buffer, byteOffset } = memory.place(packedLayout(shape).bytes);
    const { inputIds, cuSeqlens, segments } = packedViews(buffer, byteOffset, shape);
    cuSeqlens.set(batch.cuSeqlens);
    return { ...batch, inputIds: inputIds.fill(0), cuSeqlens, segments: segments.fill(0) };
  };
}

/** A session of a stream whose batches are all ready, but for those that `next` holds back. */
function sessionOf(
  options: Partial<Omit<SessionOptions, 'stream'>> & { readonly stream?: Partial<RankStream> },
  credits: number,
): { readonly session: Session; readonly failures: unknown[] } {
  const failures: unknown[] = [];
  let step = 0;
  const session = new Session(
    {
      id: 1,
      key: 'k',
      incarnation: 1,
      identity: Buffer.from('i'),
      client: 'c',
      rank: 0,
      worldSize: 1,
      send: () => Promise.resolve(true),
      onBatch: () => undefined,
      onFailure: (error) => failures.push(error),
      onGone: () => failures.push('gone'),
      ...options,
      stream: {
        start: batchOf(-1).cursor,
        next: () => Promise.resolve(batchOf(step++)),
        giveBack: () => undefined,
        close: () => undefined,
        stalls: NO_STALLS,
        ...options.stream,
      },
    },
    credits,
  );
  return { session, failures };
}

const immediates = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

/** The steps of each message. */
function recorder(): { readonly messages: (number[] | string)[]; readonly send: SessionOptions['send'] } {
  const messages: (number[] | string)[] = [];
  const send: SessionOptions['send'] = (_, [header, ...frames]) => {
    const { message } = decodeMessage([Buffer.from(header), ...(frames as Uint8Array[])]);
    messages.push(message.type === 'BATCHES' ? message.batches.map(({ step }) => step) : message.type);
    return Promise.resolve(true);
  };
  return { messages, send };
}

describe('a session', () => {
  // turns of the queue of microtasks after a batch was sent
  it.each([0, 1, 2, 3, 4, 5])('sends for a credit that comes %i turns after the last one was used', async (turns) => {
    const sent: number[] = [];
    const { session, failures } = sessionOf(
      {
        onBatch: (batch) => {
          sent.push(batch.step);
          if (sent.length === 2) return;
          const later = (left: number): void => (left === 0 ? session.addCredits(1, 1) : queueMicrotask(() => later(left - 1)));
          later(turns);
        },
      },
      1,
    );
    session.pump();
    await immediates(4);
    expect(failures).toEqual([]);
    expect(sent).toEqual([0, 1]);
    expect(session.credits).toBe(0);
    session.close();
  });

  it('sends what is ready in one message, and does not wait for what is not', async () => {
    const { messages, send } = recorder();
    const batchAt = batchesSideBySide();
    let step = 0;
    let more = (): void => undefined;
    const held = new Promise<void>((resolve) => (more = resolve));
    const next = async (): Promise<Batch | undefined> => {
      if (step === 3) await held;
      return step === 5 ? undefined : batchAt(step++);
    };
    const { session } = sessionOf({ send, stream: { next } }, 8);
    session.pump();
    await immediates(3);
    expect(messages).toEqual([[0, 1, 2]]);
    more();
    await immediates(3);
    expect(messages).toEqual([[0, 1, 2], [3, 4], 'END']);
    expect(session.hasEnded).toBe(true);
  });

  it('begins another message before one is too large', async () => {
    const { messages, send } = recorder();
    const rows = 2 ** 15; // 512 KiB of ids
    let step = 0;
    const { session } = sessionOf({ send, stream: { next: () => Promise.resolve(batchOf(step++, rows)) } }, 4);
    session.pump();
    await immediates(4);
    expect(messages).toEqual([[0], [1], [2], [3]]);
  });

  it('does not copy what lies elsewhere: that is a message of its own', async () => {
    const { messages, send } = recorder();
    let step = 0;
    const { session } = sessionOf({ send, stream: { next: () => Promise.resolve(batchOf(step++)) } }, 3);
    session.pump();
    await immediates(3);
    expect(messages).toEqual([[0], [1], [2]]);
  });

  it('sends what was made before an error', async () => {
    const { messages, send } = recorder();
    const batchAt = batchesSideBySide();
    let step = 0;
    const next = (): Promise<Batch> => (step === 2 ? Promise.reject(new Error('lost')) : Promise.resolve(batchAt(step++)));
    const { session, failures } = sessionOf({ send, stream: { next }, onFailure: () => failures.push([...messages]) }, 4);
    session.pump();
    await immediates(3);
    expect(failures).toEqual([[[0, 1]]]);
  });

  it('gives back the batches that were taken, and no others', async () => {
    const given: number[] = [];
    const { session } = sessionOf({ stream: { giveBack: ({ step }) => given.push(step) } }, 4);
    session.pump();
    await immediates(3);
    session.addCredits(1, 0);
    expect(given).toEqual([]);
    session.addCredits(1, 3);
    expect(given).toEqual([0, 1, 2]);
    session.addCredits(1, 3);
    expect(given).toEqual([0, 1, 2]);
    session.close();
  });
});
