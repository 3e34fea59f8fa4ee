/** Rows as one SHA-256, the same as reference.py makes of what another reader gives. */
import { createHash, type Hash } from 'node:crypto';
import type { SliceRows } from '../../src/decode/decoder.js';

export class RowsDigest {
  readonly #hash: Hash = createHash('sha256');
  rows = 0;
  bytes = 0;

  /** n: null; t: length (u32), bytes; i: length (u32), ids as int64. */
  add(rows: SliceRows): void {
    if (rows.kind === 'rejected' || rows.kind === 'records') throw new Error(`rows were ${rows.kind}, which nobody asked for`);
    for (let row = 0; row < rows.count; row++) {
      const [start, end] = [rows.bounds[row], rows.bounds[row + 1]];
      if (rows.valid?.[row] === 0) this.#hash.update('n');
      else if (rows.kind === 'text') this.#value('t', end - start, rows.bytes.subarray(start, end));
      else this.#value('i', end - start, new Uint8Array(BigInt64Array.from(rows.ids.subarray(start, end), BigInt).buffer));
    }
    this.rows += rows.count;
  }

  finish(): string {
    return this.#hash.digest('hex');
  }

  #value(kind: string, length: number, bytes: Uint8Array): void {
    if (!(length >= 0)) throw new Error(`a row of ${length} values`);
    const prefix = Buffer.alloc(5, kind);
    prefix.writeUInt32LE(length, 1);
    this.#hash.update(prefix).update(bytes);
    this.bytes += bytes.length;
  }
}
