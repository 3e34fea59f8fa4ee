/** A process of its own that reads files as a run does: what crashes it, hangs in it or fills it is seen from outside. */
import type { FormatName } from '../../src/core/format.js';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import type { Block, Shard } from '../../src/core/shard.js';
import type { ColumnRequest } from '../../src/decode/decoder.js';
import { openDecoders } from '../../src/decode/open-decoders.js';
import { scanHere } from '../../src/decode/scan.js';
import { memoryStore } from '../../src/store/memory.js';
import { RowsDigest } from './digest.js';
import { decodeSlice, sliceOf } from '../support/slices.js';

export interface ReadTask {
  readonly format: FormatName;
  /** Has the ending of the format. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly request: ColumnRequest;
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

async function read({ format, name, bytes, request, sliceRows }: ReadTask): Promise<ReadOutcome> {
  const digest = new RowsDigest();
  try {
    const decoder = await openDecoders(scanHere).load(format);
    const store = memoryStore('memory://fuzz/', { [name]: bytes });
    const object = await store.head(name);
    const index = await decoder.index(store, object, request, signal);
    const shard: Shard = { path: name, uri: store.uri + name, size: object.size, etag: object.etag, ...index };
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
        digest.add(decodeSlice(await sliceOf(reader, row, Math.min(block.endRow, row + sliceRows), signal)));
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
