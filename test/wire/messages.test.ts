import { describe, expect, it } from 'vitest';
import { buildBatch } from '../../src/batch/batch.js';
import { rowsOf } from '../../src/batch/rows.js';
import { fieldOfRow } from '../../src/core/fields.js';
import { sequenceDigest } from '../../src/pack/sequence-writer.js';
import { batchDigest } from '../../src/wire/batch-digest.js';
import { batchOfFrames, framesOfBatch } from '../../src/wire/batch-frames.js';
import { decodeMessage, encodeHeader, type Message, type MessageOf } from '../../src/wire/messages.js';
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
    const { frames, values } = golden.messages.find((entry) => entry.message.type === 'BATCH')!;
    const decoded = decodeMessage(bytesOf(frames));
    const batch = batchOfFrames(decoded.message as MessageOf<'BATCH'>, decoded.frames);
    expect([...batch.inputIds]).toEqual(values!.input_ids);
    expect([...batch.lossMask]).toEqual(values!.loss_mask);
    expect([...batch.cuSeqlens]).toEqual(values!.cu_seqlens);
    expect([...batch.segments]).toEqual(values!.segments);
    const sequences = [0, 1].map((row) => {
      const ids = batch.inputIds.subarray(4 * row, 4 * row + 4);
      const segments = batch.segments.subarray(12 * row, 12 * row + 12);
      return { ids, segments, digest: sequenceDigest(ids, segments), tokens: row === 0 ? 4 : 3 };
    });
    const built = buildBatch(sequences, 4);
    expect(built).toEqual(batch);
    expect(framesOfBatch(built).frames.map((frame) => Buffer.from(frame).toString('hex'))).toEqual(frames.slice(1));
  });

  it('reads the fields of the golden samples, and builds them again with the same digest', () => {
    const { frames } = golden.messages.find((entry) => entry.name === 'BATCH of samples')!;
    const decoded = decodeMessage(bytesOf(frames));
    const message = decoded.message as MessageOf<'BATCH'>;
    const batch = batchOfFrames(message, decoded.frames);
    const { caption, emb, image, label, score } = batch.fields!;
    expect([0, 1, 2].map((row) => fieldOfRow(caption, row))).toEqual(['a cat', '', '']);
    expect(fieldOfRow(emb, 1)).toEqual(Float32Array.of(3, 4));
    expect(fieldOfRow(image, 0)).toEqual(Uint8Array.of(0xff, 0xd8, 1));
    expect([fieldOfRow(label, 0), fieldOfRow(score, 0)]).toEqual([2n ** 40n, 0.1]);
    expect([batch.inputIds.length, batchDigest(batch)]).toEqual([0, batch.digest]);
    expect(framesOfBatch(batch).frames.map((frame) => Buffer.from(frame).toString('hex'))).toEqual(frames.slice(1));
    const part = rowsOf(batch, 1, 3);
    expect([fieldOfRow(part.fields!.image, 0), fieldOfRow(part.fields!.label, 0), part.tokens]).toEqual([new Uint8Array(2), -5n, 1]);
    const short = decoded.frames.map((frame, i) =>
      message.arrays[i].name === 'fields.image.bounds' ? new Uint8Array(frame.length).fill(9) : frame,
    );
    expect(() => batchOfFrames(message, short)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('a mask of ones only is not sent, and is there on the other side; without one, a batch with padding is refused', () => {
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
    const { arrays, frames: sent } = framesOfBatch(full);
    expect(arrays.map(({ name }) => name)).toEqual(['input_ids', 'cu_seqlens', 'segments']);
    const message = { ...full, arrays } as unknown as MessageOf<'BATCH'>;
    expect(batchOfFrames(message, sent).lossMask).toEqual(full.lossMask);
    expect(() => batchOfFrames({ ...message, tokens: 3 }, sent)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    expect(framesOfBatch({ ...full, tokens: 3, isMasked: true }).arrays.map(({ name }) => name)).toContain('loss_mask');
  });

  it('reads frames that lie at any place of a shared buffer, as small ones do', () => {
    const { frames, values } = golden.messages.find((entry) => entry.message.type === 'BATCH')!;
    const decoded = decodeMessage(bytesOf(frames));
    for (let offset = 0; offset < 8; offset++) {
      const moved = decoded.frames.map((frame) => {
        const shared = Buffer.alloc(frame.byteLength + 8);
        shared.set(frame, offset);
        return shared.subarray(offset, offset + frame.byteLength);
      });
      const batch = batchOfFrames(decoded.message as MessageOf<'BATCH'>, moved);
      expect([...batch.inputIds]).toEqual(values!.input_ids);
      expect([...batch.segments]).toEqual(values!.segments);
      expect(batchDigest(batch)).toBe(batch.digest);
    }
  });

  it('refuses a batch whose arrays have other shapes than its rows', () => {
    const { frames, message } = golden.messages.find((entry) => entry.message.type === 'BATCH')!;
    expect(() => batchOfFrames({ ...message, rows: 3 } as unknown as MessageOf<'BATCH'>, bytesOf(frames.slice(1)))).toThrow(
      expect.objectContaining({ code: 'BAD_MESSAGE' }),
    );
  });
});
