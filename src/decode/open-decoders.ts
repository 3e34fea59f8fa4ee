/** The main thread's half of every format, by its name. A decoder is made when a source first has its format. */
import type { FormatName } from '../core/format.js';
import { HeadraceError } from '../core/errors.js';
import { shownUri } from '../store/schemes.js';
import type { ColumnRequest, Decoder, PlainDecoder, PlainRequest, Scan } from './decoder.js';
import { createLineDecoder, createTextDecoder } from './lines/block-reader.js';
import { csvFormat, JSONL, textFormat } from './lines/line-format.js';
import { createNpyDecoder, createTokensDecoder } from './array/array-decoder.js';
import { createMegatronDecoder } from './array/megatron-decoder.js';
import { createArrowDecoder } from './arrow/block-reader.js';
import { createMdsDecoder } from './mds/block-reader.js';
import { createLitdataDecoder } from './litdata/litdata-decoder.js';
import { createParquetDecoder } from './parquet/block-reader.js';
import { createWebDatasetDecoder } from './webdataset/block-reader.js';

/** One set a pipeline: decoders keep what they have learnt of objects. */
export interface Decoders {
  of(format: FormatName): Decoder;
}

const CREATORS: Readonly<Record<FormatName, (scan: Scan) => Decoder>> = {
  parquet: createParquetDecoder,
  webdataset: createWebDatasetDecoder,
  arrow: createArrowDecoder,
  mds: createMdsDecoder,
  npy: plain('npy', createNpyDecoder),
  megatron: plain('megatron', createMegatronDecoder),
  tokens: plain('tokens', createTokensDecoder),
  litdata: plain('litdata', createLitdataDecoder),
  jsonl: (scan) => createLineDecoder(scan, () => JSONL),
  csv: (scan) => createLineDecoder(scan, csvFormat),
  text: plain('text', (scan) => createTextDecoder(scan, textFormat)),
};

/** What these formats cannot give is refused before anything is read. */
function plain(format: FormatName, create: (scan: Scan) => PlainDecoder): (scan: Scan) => Decoder {
  return (scan) => {
    const decoder = create(scan);
    return {
      ...decoder,
      index: async (store, object, request, signal) => {
        if (isPlain(request)) return decoder.index(store, object, request, signal);
        const uri = shownUri(store.uri + object.path);
        throw new HeadraceError(
          'SHARD_UNSUPPORTED',
          `${uri}: of ${format} only text and token ids are read, and ${request.kind} was asked for`,
          {
            detail: { uri, format },
            hint: 'Write the data as Parquet.',
          },
        );
      },
    };
  };
}

function isPlain(request: ColumnRequest): request is PlainRequest {
  return request.kind === 'text' || request.kind === 'tokens';
}

/** `scan` does the bulk work that metadata needs: that of a worker pool, or `scanHere`. */
export function openDecoders(scan: Scan): Decoders {
  const open = new Map<FormatName, Decoder>();
  return {
    of: (format) => {
      let decoder = open.get(format);
      if (decoder === undefined) open.set(format, (decoder = CREATORS[format](scan)));
      return decoder;
    },
  };
}
