/** The main thread's half of every format, by its name. A decoder is made when a source first has its format. */
import type { FormatName } from '../core/format.js';
import { HeadraceError } from '../core/errors.js';
import { shownUri } from '../store/schemes.js';
import type { ColumnRequest, Decoder, PlainDecoder, PlainRequest, Scan } from './decoder.js';
import { csvFormat, JSONL, textFormat } from './lines/line-format.js';

/** One set a pipeline: decoders keep what they have learnt of objects. */
export interface Decoders {
  /** Imports the format where it is the first of its kind. Rejects only where a module of ours is missing. */
  load(format: FormatName): Promise<Decoder>;
  /** One that was loaded. */
  of(format: FormatName): Decoder;
}

type Create = (scan: Scan) => Decoder;

/** A run has one or two formats: all of them take a third of a second to import. */
const CREATORS: Readonly<Record<FormatName, () => Promise<Create>>> = {
  parquet: async () => (await import('./parquet/block-reader.js')).createParquetDecoder,
  webdataset: async () => (await import('./webdataset/block-reader.js')).createWebDatasetDecoder,
  arrow: async () => (await import('./arrow/block-reader.js')).createArrowDecoder,
  mds: async () => (await import('./mds/block-reader.js')).createMdsDecoder,
  npy: async () => plain('npy', (await import('./array/array-decoder.js')).createNpyDecoder),
  megatron: async () => plain('megatron', (await import('./array/megatron-decoder.js')).createMegatronDecoder),
  tokens: async () => plain('tokens', (await import('./array/array-decoder.js')).createTokensDecoder),
  litdata: async () => (await import('./litdata/litdata-decoder.js')).createLitdataDecoder,
  jsonl: async () => {
    const { createLineDecoder } = await import('./lines/block-reader.js');
    return (scan) => createLineDecoder(scan, () => JSONL);
  },
  csv: async () => {
    const { createLineDecoder } = await import('./lines/block-reader.js');
    return (scan) => createLineDecoder(scan, csvFormat);
  },
  text: async () => {
    const { createTextDecoder } = await import('./lines/block-reader.js');
    return plain('text', (scan) => createTextDecoder(scan, textFormat));
  },
};

/** What these formats cannot give is refused before anything is read. */
function plain(format: FormatName, create: (scan: Scan) => PlainDecoder): Create {
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

/**
 * `scan` does the bulk work that metadata needs: that of a worker pool, or `scanHere`. `onFormat` is told of each format, once, as soon as a source is known
 * to have it.
 */
export function openDecoders(scan: Scan, onFormat: (format: FormatName) => void = () => undefined): Decoders {
  const open = new Map<FormatName, Decoder>();
  const told = new Set<FormatName>();
  return {
    load: async (format) => {
      if (!told.has(format)) onFormat(format);
      told.add(format);
      const create = await CREATORS[format]();
      let decoder = open.get(format);
      if (decoder === undefined) open.set(format, (decoder = create(scan)));
      return decoder;
    },
    of: (format) => {
      const decoder = open.get(format);
      if (decoder === undefined) throw new Error(`the decoder of ${format} was not loaded`);
      return decoder;
    },
  };
}
