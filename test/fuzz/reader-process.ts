/** A process of its own that reads files as a run does: what crashes it, hangs in it or fills it is seen from outside. */
import type { FormatName } from '../../src/core/format.js';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import type { Block, Shard } from '../../src/core/shard.js';
import { whereSchema, type WhereInput } from '../../src/config/where.js';
import type { ColumnRequest } from '../../src/decode/decoder.js';
import { openDecoders } from '../../src/decode/open-decoders.js';
import { scanHere } from '../../src/decode/scan.js';
import { memoryStore } from '../../src/store/memory.js';
import { RowsDigest } from './digest.js';
import { decodeBeside, decodeSlice, readSlices } from '../support/slices.js';

/** What is read of a file, and the rows of which nothing is decided here: what a filter compares is read, and not compared. */
export interface FuzzRequest extends ColumnRequest {
  readonly where?: WhereInput | undefined;
}

export interface ReadTask {
  readonly format: FormatName;
  /** Has the ending of the format. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly request: FuzzRequest;
  /** Whole objects that the format reads as well. */
  readonly beside: Readonly<Record<string, Uint8Array>>;
  readonly sliceRows: number;
}

/** What came of it. */
export type ReadOutcome =
  | (Memory & { readonly kind: 'rows'; readonly digest: string; readonly rows: number })
  | (Memory & { readonly kind: 'error'; readonly code: string; readonly message: string; readonly named: boolean });

interface Memory {
  /** The most that the process ever had. */
  readonly rssBytes: number;
  readonly deliveredBytes: number;
}

const signal = new AbortController().signal;

async function read({ format, name, bytes, beside, request: { where, ...request }, sliceRows }: ReadTask): Promise<ReadOutcome> {
  const digest = new RowsDigest();
  try {
    const decoder = await openDecoders(scanHere).load(format);
    const store = memoryStore('memory://fuzz/', { ...beside, [name]: bytes });
    const object = await store.head(name);
    const filter = where && whereSchema.parse(where);
    const index = await decoder.index(store, object, request, signal, filter);
    const shard: Shard = { path: name, uri: store.uri + name, size: object.size, etag: object.etag, ...index };
    const types = decoder.fieldTypes?.(shard) ?? [];
    const wanted = {
      rows: request.kind !== 'none',
      ids: request.id !== undefined,
      fields: request.fields !== undefined,
      filter: filter !== undefined,
    };
    for (const [at, unit] of shard.units.entries()) {
      const block: Block = {
        shard: 0,
        unit: at,
        startRow: unit.startRow,
        endRow: unit.startRow + unit.rows,
        decodedBytes: unit.decodedBytes,
      };
      if (unit.rows === 0) continue;
      const reader = decoder.openBlock(store, name, shard, block);
      for (let row = block.startRow; row < block.endRow; row += sliceRows) {
        const endRow = Math.min(block.endRow, row + sliceRows);
        const { slice, beside: columns } = await readSlices(reader, row, endRow, wanted, signal);
        digest.add(endRow - row, slice && decodeSlice(slice), columns === undefined ? {} : decodeBeside(columns), types);
      }
    }
    return { kind: 'rows', digest: digest.finish(), rows: digest.rows, ...memory(digest) };
  } catch (error) {
    const code = error instanceof HeadraceError ? error.code : 'UNTYPED';
    const stack =
      error instanceof HeadraceError ? messageOf(error) : error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: 'error', code, message: stack, named: stack.includes(name), ...memory(digest) };
  }
}

function memory(digest: RowsDigest): Memory {
  return { rssBytes: process.resourceUsage().maxRSS * 1024, deliveredBytes: digest.bytes };
}

process.on('message', (task: ReadTask) => void read(task).then((outcome) => process.send?.(outcome)));
