import { describe, expect, it } from 'vitest';
import { buildBatch } from '../../src/batch/batch.js';
import { rowsOf } from '../../src/batch/rows.js';
import type { BatchArrays } from '../../src/core/batch-arrays.js';
import { fieldOfRow } from '../../src/core/fields.js';
import { sequenceDigest } from '../../src/pack/sequence-writer.js';
import { batchDigest } from '../../src/wire/batch-digest.js';
import { batchesOfFrames, frameOfCores, framesOfBatch, isBehind, shapeOfBatches } from '../../src/wire/batch-frames.js';
import { batchesText, batchText, decodeMessage, encodeHeader, type Message, type MessageOf } from '../../src/wire/messages.js';
import type { LaneStates } from '../../src/plan/cursor.js';
import { lanesOfPositions, positionsOf, positionsShapeOf } from '../../src/wire/positions.js';
import golden from '../spec/wire.json' with { type: 'json' };

const bytesOf = (hex: readonly string[]): Uint8Array[] => hex.map((frame) => Buffer.from(frame, 'hex'));

describe('wire messages', () => {
  it.each(golden.messages)('writes and reads the golden $name', ({ message, frames }) => {
    expect(encodeHeader(message as unknown as Message).toString('hex')).toBe(frames[0]);
    expect(decodeMessage(bytesOf(frames)).message).toEqual(message);
  });

  it.each(golden.malformed)('refuses $name', ({ frames }) => {
    expect(() => decodeMessage(bytesOf(frames))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('reads the arrays of the golden batch, and builds them again with the same digest', () => {
    const { message, batches, bodies, values } = goldenBatches('BATCHES');
    const [batch] = batches;
    expect([...batch.inputIds]).toEqual(values[0].input_ids);
    expect([...batch.lossMask]).toEqual(values[0].loss_mask);
    expect([...batch.cuSeqlens]).toEqual(values[0].cu_seqlens);
    expect([...batch.segments]).toEqual(values[0].segments);
    const sequences = [0, 1].map((row) => {
      const ids = batch.inputIds.subarray(4 * row, 4 * row + 4);
      const segments = batch.segments.subarray(12 * row, 12 * row + 12);
      return { ids, segments, digest: sequenceDigest(ids, segments), tokens: row === 0 ? 4 : 3 };
    });
    const built = buildBatch(sequences, 4);
    expect(built).toEqual(batch);
    expect(hex(framesOf([built], positionsOf(goldenLanes.slice(0, 1), message)))).toEqual(hex(bodies));
  });

  it('reads several batches of one message, with masks where they say something, and writes them again', () => {
    const { header, message, batches, bodies, values } = goldenBatches('BATCHES of two steps');
    expect(batches.map(({ isMasked }) => isMasked)).toEqual([true, false]);
    expect([...batches[1].lossMask]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    for (const [index, batch] of batches.entries()) {
      expect([...batch.inputIds]).toEqual(values[index].input_ids);
      expect([...batch.cuSeqlens]).toEqual(values[index].cu_seqlens);
      expect([...batch.segments]).toEqual(values[index].segments);
      expect(batchDigest(batch)).toBe(batch.digest);
    }
    const texts = batches.map((batch, index) => {
      const { step, mixture } = message.batches[index];
      return batchText({ ...framesOfBatch(batch).head, step, mixture });
    });
    const { session, lanes, sources } = message;
    expect(batchesText({ session, ...shapeOfBatches(batches[0]), lanes, sources }, texts)).toBe(header);
    expect(hex(framesOf(batches, positionsOf(goldenLanes, message)))).toEqual(hex(bodies));
    expect(goldenLanes.map((_, index) => lanesOfPositions(bodies[1], index, message))).toEqual(goldenLanes);
    expect(positionsShapeOf(goldenLanes[0])).toEqual({ lanes, sources });
  });

  it('reads the fields of the golden samples, and builds them again with the same digest', () => {
    const { header, message, batches, bodies } = goldenBatches('BATCHES of samples');
    const [batch] = batches;
    const { caption, emb, image, label, score } = batch.fields!;
    expect([0, 1, 2].map((row) => fieldOfRow(caption, row))).toEqual(['a cat', '', '']);
    expect(fieldOfRow(emb, 1)).toEqual(Float32Array.of(3, 4));
    expect(fieldOfRow(image, 0)).toEqual(Uint8Array.of(0xff, 0xd8, 1));
    expect([fieldOfRow(label, 0), fieldOfRow(score, 0)]).toEqual([2n ** 40n, 0.1]);
    expect([batch.inputIds.length, batchDigest(batch)]).toEqual([0, batch.digest]);
    const { head } = framesOfBatch(batch);
    const { session, lanes, sources } = message;
    const positions = positionsOf([{ '0': { pairs: [4, 0, 0, 0, 11, 0] } }], message);
    expect(hex(framesOf([batch], positions))).toEqual(hex(bodies));
    const { step, mixture } = message.batches[0];
    expect(batchesText({ session, ...shapeOfBatches(batch), lanes, sources }, [batchText({ ...head, step, mixture })])).toBe(header);
    const part = rowsOf(batch, 1, 3);
    expect([fieldOfRow(part.fields!.image, 0), fieldOfRow(part.fields!.label, 0), part.tokens]).toEqual([new Uint8Array(2), -5n, 1]);
    const bounds = message.batches[0].arrays.findIndex(({ name }) => name === 'fields.image.bounds');
    const odd = bodies.map((frame, i) => (i === 2 + bounds ? new Uint8Array(frame.length).fill(9) : frame));
    expect(() => batchesOfFrames(message, odd)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('packs the arrays of a batch that was made of several', () => {
    const full = {
      rows: 1,
      length: 4,
      tokens: 4,
      digest: '0'.repeat(64),
      inputIds: Int32Array.of(1, 2, 3, 4),
      lossMask: Uint8Array.of(1, 1, 1, 1),
      isMasked: false,
      cuSeqlens: Int32Array.of(0, 4),
      segments: Int32Array.of(0, 0, 0, 0, 4, 3),
    };
    const numbers = (frame: Uint8Array): number[] => [...new Int32Array(frame.slice().buffer, 0, 12)];
    const packed = [1, 2, 3, 4, 0, 4, 0, 0, 0, 0, 4, 3];
    const unmasked = framesOfBatch(full).core;
    expect([unmasked.length, numbers(unmasked)]).toEqual([48, packed]);
    const masked = framesOfBatch({ ...full, tokens: 3, isMasked: true, lossMask: Uint8Array.of(1, 1, 1, 0) }).core;
    expect([masked.length, numbers(masked), ...masked.subarray(48)]).toEqual([52, packed, 1, 1, 1, 0]);
  });

  it('reads frames that lie at any place of a shared buffer, as small ones do', () => {
    const { message, bodies, values } = goldenBatches('BATCHES');
    for (let offset = 0; offset < 8; offset++) {
      const moved = bodies.map((frame) => {
        const shared = Buffer.alloc(frame.byteLength + 8);
        shared.set(frame, offset);
        return shared.subarray(offset, offset + frame.byteLength);
      });
      const [batch] = batchesOfFrames(message, moved);
      expect([...batch.inputIds]).toEqual(values[0].input_ids);
      expect([...batch.segments]).toEqual(values[0].segments);
      expect(batchDigest(batch)).toBe(batch.digest);
    }
  });

  it('makes one frame of cores: a view where they lie as they do there, with nothing of what was in the memory before', () => {
    const memory = new Uint8Array(64).fill(0xa5);
    const cores = [memory.subarray(8, 20), memory.subarray(24, 29), memory.subarray(32, 40)];
    expect(cores.map((core, index) => index > 0 && isBehind(core, cores[index - 1]))).toEqual([false, true, true]);
    const frame = frameOfCores(cores);
    expect([frame.buffer === memory.buffer, frame.byteOffset, frame.length]).toEqual([true, 8, 32]);
    const elsewhere = [cores[0].slice(), cores[1], cores[2]];
    expect(isBehind(elsewhere[1], elsewhere[0])).toBe(false);
    expect(frameOfCores(elsewhere)).toEqual(frame);
    expect([...frame.subarray(12, 16), ...frame.subarray(21, 24)]).toEqual(new Array(7).fill(0));
    expect([...memory.subarray(0, 8), ...memory.subarray(40)].every((byte) => byte === 0xa5)).toBe(true);
  });

  it('gives each batch of a message memory of its own, which can be transferred', () => {
    const { batches } = goldenBatches('BATCHES of two steps');
    structuredClone(batches[0].inputIds, { transfer: [batches[0].inputIds.buffer] });
    expect([batches[0].inputIds.length, batches[1].inputIds.length]).toEqual([0, 8]);
  });

  it.each([0.5, -1, NaN, Infinity, 2 ** 53])('refuses a position of %d', (number) => {
    const { frames } = golden.messages.find(({ name }) => name === 'BATCHES of two steps')!;
    const positions = Float64Array.from(goldenLanes.flatMap((lanes) => Object.values(lanes).flatMap(({ web }) => [...web])));
    expect(decodeMessage(withPositions(frames, positions)).message.type).toBe('BATCHES');
    positions[12] = number;
    expect(() => decodeMessage(withPositions(frames, positions))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('refuses a batch whose frame has another size than its rows ask for', () => {
    const { message, bodies } = goldenBatches('BATCHES');
    const other = encodeHeader({ ...message, rows: 3 });
    expect(() => decodeMessage([other, ...bodies])).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });
});

/** After the header. */
function framesOf(batches: readonly BatchArrays[], positions: Float64Array): Uint8Array[] {
  const framed = batches.map(framesOfBatch);
  const cores = frameOfCores(framed.map(({ core }) => core));
  return [cores, new Uint8Array(positions.buffer), ...framed.flatMap(({ frames }) => frames)];
}

/** Where the lanes stand after each batch of the golden messages of tokens. */
const goldenLanes: LaneStates[] = [
  { '0': { web: [8, 1, 204, 20, 98308, -40] }, '1': { web: [9, 0, 2, 0, 98003, -45] } },
  { '0': { web: [8, 1, 205, 0, 98312, -40] }, '1': { web: [9, 0, 2, 4, 98007, -45] } },
];

function withPositions([header, cores, , ...rest]: readonly string[], positions: Float64Array): Uint8Array[] {
  return [...bytesOf([header, cores]), new Uint8Array(positions.buffer), ...bytesOf(rest)];
}

const hex = (frames: readonly Uint8Array[]): string[] => frames.map((frame) => Buffer.from(frame).toString('hex'));

interface GoldenBatches {
  readonly header: string;
  readonly message: MessageOf<'BATCHES'>;
  readonly bodies: readonly Uint8Array[];
  readonly batches: readonly BatchArrays[];
  readonly values: readonly Partial<Record<'input_ids' | 'loss_mask' | 'cu_seqlens' | 'segments', number[]>>[];
}

function goldenBatches(name: string): GoldenBatches {
  const { frames, values = [] } = golden.messages.find((entry) => entry.name === name)!;
  const { message, frames: bodies } = decodeMessage(bytesOf(frames));
  if (message.type !== 'BATCHES') throw new Error(`${name} is ${message.type}`);
  return { header: Buffer.from(frames[0], 'hex').toString(), message, bodies, batches: batchesOfFrames(message, bodies), values };
}
