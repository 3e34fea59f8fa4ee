/** The main thread's half of every format, by its name. A decoder is made when a source first has its format. */
import type { FormatName } from '../core/format.js';
import type { Decoder, Scan } from './decoder.js';
import { createLineDecoder } from './lines/block-reader.js';
import { csvFormat, JSONL, textFormat } from './lines/line-format.js';
import { createNpyDecoder, createTokensDecoder } from './array/array-decoder.js';
import { createMegatronDecoder } from './array/megatron-decoder.js';
import { createArrowDecoder } from './arrow/block-reader.js';
import { createParquetDecoder } from './parquet/block-reader.js';
import { createWebDatasetDecoder } from './webdataset/block-reader.js';

/** One set a pipeline: decoders keep what they have learnt of objects. */
export interface Decoders {
  of(format: FormatName): Decoder;
}

const CREATORS: Readonly<Record<FormatName, (scan: Scan) => Decoder>> = {
  parquet: createParquetDecoder,
  jsonl: (scan) => createLineDecoder(scan, () => JSONL),
  csv: (scan) => createLineDecoder(scan, csvFormat),
  text: (scan) => createLineDecoder(scan, textFormat),
  webdataset: createWebDatasetDecoder,
  arrow: createArrowDecoder,
  npy: createNpyDecoder,
  megatron: createMegatronDecoder,
  tokens: createTokensDecoder,
};

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
