/**
 * Megatron's token files: `NAME.bin` has the ids, `NAME.idx` where sequences and documents lie. Rows are documents.
 *
 *   .idx   MMIDIDX version dtype │ lengths of sequences │ their places │ first sequences of documents …    read once, in parts, for the manifest
 *   .bin   ids of document 0 │ ids of document 1 │ …                                                      read where a slice needs it
 *
 * Source of the layout: `megatron/core/datasets/indexed_dataset.py` of Megatron-LM, class `MMapIndexedDataset`.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import type { Block, Shard, Unit } from '../../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { withFreshReads } from '../fresh-reads.js';
import type { BlockReader, PlainRequest, PlainDecoder, Scan, ShardIndex } from '../decoder.js';
import { integerOf, type IntegerType } from '../integers.js';
import { NOTHING, rowsOnly } from './encoded-slice.js';
import { estimateStretch } from '../estimate-stretch.js';
import { megatronShardLayout, megatronUnitLayout, type MegatronShardLayout, type MegatronUnitLayout } from './layout.js';
import { expectTokensOnly } from './options.js';

const MAGIC = 'MMIDIDX\0\0';
const MAGIC_OLD = 'TNTIDX\0\0';
/** Magic, version, code of the ids' type, number of sequences, number of documents and one. */
const HEADER_BYTES = 9 + 8 + 1 + 8 + 8;
/** By code. 6 and 7 are floating-point numbers. */
const TYPES: ReadonlyMap<number, IntegerType> = new Map([
  [1, integerOf('uint8')],
  [2, integerOf('int8')],
  [3, integerOf('int16')],
  [4, integerOf('int32')],
  [5, integerOf('int64')],
  [8, integerOf('uint16')],
]);

export function createMegatronDecoder(scan: Scan): PlainDecoder {
  const open = (store: Store, path: string, shard: Shard, block: Block): BlockReader => openBlock(store, path, shard, block);
  return {
    index: (store, object, request, signal) => readIndex(store, object, request, scan, signal),
    openBlock: open,
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block),
    estimateBlock: (shard, block) => estimateStretch(shard.units[block.unit], block, megatronUnitLayout(shard.units[block.unit].layout)),
    storedIdBytes: () => 0,
  };
}

/** The two objects of a data set, whichever of them is named. */
function pathsOf(path: string): { readonly bin: string; readonly idx: string } {
  const stem = path.replace(/\.(bin|idx)$/, '');
  return { bin: `${stem}.bin`, idx: `${stem}.idx` };
}

async function readIndex(
  store: Store,
  object: ObjectInfo,
  request: PlainRequest,
  scan: Scan,
  signal = new AbortController().signal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  expectTokensOnly(request, uri, 'megatron');
  const paths = pathsOf(object.path);
  const other = await store.head(object.path === paths.idx ? paths.bin : paths.idx, { signal });
  const [index, bin] = object.path === paths.idx ? [object, other] : [other, object];
  const pinned: PinnedObject = { store, path: index.path, etag: index.etag };
  const header = await readHeader(pinned, index.size, signal);
  const { type, sequences, documents } = header;
  const content = createHash('sha256').update(header.bytes).update(`${bin.size}\n`);
  const units: Unit[] = [];
  const end = { row: 0, byte: 0, sequence: 0 };
  for (let row = 0; row < documents; row += LIMITS.megatronPartDocuments) {
    const part = await readPart(pinned, header, { startRow: row, startSequence: end.sequence }, signal);
    const {
      units: found,
      endByte,
      digest,
      problem,
    } = await scan(
      'megatron-documents',
      {
        bytes: part.bytes,
        documents: part.documents,
        startSequence: end.sequence,
        endSequence: part.endSequence,
        width: type.bytes,
        startByte: end.byte,
        unitIds: LIMITS.arrayUnitIds,
        documentIdsMax: LIMITS.arrayRowIdsMax,
      },
      signal,
    );
    if (problem !== undefined) throw invalid(store.uri + index.path, problem);
    if (endByte > bin.size) throw invalid(store.uri + index.path, `its sequences end at byte ${endByte}, and ${paths.bin} has ${bin.size}`);
    content.update(digest);
    for (let i = 0; i < found.length; i += 3) {
      const rows = found[i];
      const layout: MegatronUnitLayout = {
        startByte: end.byte,
        endByte: found[i + 1],
        startSequence: end.sequence,
        endSequence: found[i + 2],
      };
      const bytes = layout.endByte - layout.startByte;
      units.push({ startRow: end.row, rows, decodedBytes: (4 * bytes) / type.bytes, storedBytes: bytes, layout: { ...layout } });
      end.row += rows;
      end.byte = layout.endByte;
      end.sequence = layout.endSequence;
    }
  }
  if (end.sequence !== sequences || end.byte !== bin.size) {
    throw invalid(
      store.uri + index.path,
      `its documents end at sequence ${end.sequence} of ${sequences}, and byte ${end.byte} of ${bin.size} of ${paths.bin}`,
    );
  }
  const layout: MegatronShardLayout = {
    type,
    binEtag: bin.etag,
    indexEtag: index.etag,
    pointersByte: header.pointersByte,
    documentsByte: header.documentsByte,
  };
  return { contentId: content.digest('hex'), rows: end.row, units, layout: { ...layout } };
}

interface Header {
  readonly bytes: Uint8Array;
  readonly uri: string;
  readonly type: IntegerType;
  readonly sequences: number;
  readonly documents: number;
  readonly lengthsByte: number;
  readonly pointersByte: number;
  readonly documentsByte: number;
}

async function readHeader(pinned: PinnedObject, size: number, signal: AbortSignal): Promise<Header> {
  const uri = pinned.store.uri + pinned.path;
  const bytes = await readPinned(pinned, { startByte: 0, endByte: Math.min(size, HEADER_BYTES) }, signal);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (text.toString('latin1', 0, MAGIC_OLD.length) === MAGIC_OLD) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} is of Megatron's older format (TNTIDX)`, {
      detail: { uri },
      hint: 'Write it anew with `--dataset-impl mmap`, or a version of Megatron-LM that knows no other.',
    });
  }
  if (bytes.length < HEADER_BYTES || text.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw invalid(uri, 'it does not start with MMIDIDX');
  const version = text.readBigUInt64LE(9);
  if (version !== 1n) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has version ${version} of Megatron's index, and 1 is read`, {
      detail: { uri },
      hint: 'Write it anew with a version of Megatron-LM that writes version 1.',
    });
  }
  const code = text.readUInt8(17);
  const type = TYPES.get(code);
  if (type === undefined) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} holds numbers of type ${code}, which are no token ids`, {
      detail: { uri, type: code },
      hint: 'Types 1 to 5 and 8 are read: uint8, int8, int16, int32, int64, uint16.',
    });
  }
  const sequences = Number(text.readBigUInt64LE(18));
  const documents = Number(text.readBigUInt64LE(26)) - 1;
  const pointersByte = HEADER_BYTES + 4 * sequences;
  const documentsByte = pointersByte + 8 * sequences;
  if (!(documents >= 0 && documentsByte + 8 * (documents + 1) <= size)) {
    throw invalid(uri, `it claims ${sequences} sequences and ${documents} documents, and has ${size} bytes`);
  }
  return { bytes, uri, type, sequences, documents, lengthsByte: HEADER_BYTES, pointersByte, documentsByte };
}

/** The arrays' parts for some documents, in one buffer. */
async function readPart(
  pinned: PinnedObject,
  { uri, sequences, documents, lengthsByte, pointersByte, documentsByte }: Header,
  { startRow, startSequence }: { readonly startRow: number; readonly startSequence: number },
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly documents: number; readonly endSequence: number }> {
  const own = Math.min(LIMITS.megatronPartDocuments, documents - startRow);
  const starts = await readPinned(
    pinned,
    { startByte: documentsByte + 8 * startRow, endByte: documentsByte + 8 * (startRow + own + 1) },
    signal,
  );
  const endSequence = Number(new DataView(starts.buffer, starts.byteOffset + 8 * own, 8).getBigInt64(0, true));
  if (!(endSequence >= startSequence && endSequence <= sequences))
    throw invalid(uri, `document ${startRow + own} starts at sequence ${endSequence} of ${sequences}`);
  const count = endSequence - startSequence;
  if (count > LIMITS.megatronPartSequencesMax) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has ${count} sequences in ${own} documents`, {
      detail: { uri },
      hint: `At most ${LIMITS.megatronPartSequencesMax} are read: join the sequences of a document.`,
    });
  }
  const [pointers, lengths] = await Promise.all([
    readPinned(pinned, { startByte: pointersByte + 8 * startSequence, endByte: pointersByte + 8 * endSequence }, signal),
    readPinned(pinned, { startByte: lengthsByte + 4 * startSequence, endByte: lengthsByte + 4 * endSequence }, signal),
  ]);
  const bytes = new Uint8Array(starts.length + pointers.length + lengths.length);
  bytes.set(starts);
  bytes.set(pointers, starts.length);
  bytes.set(lengths, starts.length + pointers.length);
  return { bytes, documents: own, endSequence };
}

function openBlock(store: Store, path: string, shard: Shard, block: Block): BlockReader {
  const paths = pathsOf(path);
  const unit = shard.units[block.unit];
  const layout = megatronUnitLayout(unit.layout);
  const { type, binEtag, indexEtag, pointersByte, documentsByte } = megatronShardLayout(shard.layout);
  const index: PinnedObject = { store, path: paths.idx, etag: indexEtag };
  const reader = new AscendingReader({ store, path: paths.bin, etag: binEtag });
  const { uri } = shard;
  let places: Promise<Float64Array> | undefined;
  /** Where each document of the block starts in the file of ids, and the end of the last. */
  const readPlaces = async (signal: AbortSignal): Promise<Float64Array> => {
    const { startSequence, endSequence } = layout;
    const [starts, pointers] = await Promise.all([
      readPinned(index, { startByte: documentsByte + 8 * block.startRow, endByte: documentsByte + 8 * (block.endRow + 1) }, signal),
      readPinned(index, { startByte: pointersByte + 8 * startSequence, endByte: pointersByte + 8 * endSequence }, signal),
    ]);
    const sequences = new DataView(starts.buffer, starts.byteOffset, starts.length);
    const bytes = new DataView(pointers.buffer, pointers.byteOffset, pointers.length);
    return Float64Array.from({ length: block.endRow - block.startRow + 1 }, (_, i) => {
      const sequence = Number(sequences.getBigInt64(8 * i, true));
      if (!(sequence >= startSequence && sequence <= endSequence)) throw changed(uri);
      return sequence === endSequence ? layout.endByte : Number(bytes.getBigInt64(8 * (sequence - startSequence), true));
    });
  };
  return {
    get ranges(): readonly ByteRange[] {
      return reader.ranges;
    },
    read: async (startRow, endRow, wanted, signal) => {
      if (!wanted.rows) return NOTHING;
      places ??= readPlaces(signal);
      const reading = places;
      reading.catch(() => (places = undefined)); // the next one tries again
      const starts = await reading;
      const own = starts.subarray(startRow - block.startRow, endRow - block.startRow + 1);
      const rows = endRow - startRow;
      const bounds = Int32Array.from(own, (byte) => (byte - own[0]) / type.bytes);
      for (let i = 0; i < rows; i++)
        if (!(own[i + 1] >= own[i] && own[i] >= layout.startByte && own[i + 1] <= layout.endByte)) throw changed(uri);
      const bytes = await reader.read(own[0], own[rows], starts[starts.length - 1], signal);
      return rowsOnly({ format: 'array', uri, rows, type, bytes, bounds, ranges: reader.ranges });
    },
  };
}

function changed(uri: string): HeadraceError {
  return invalid(uri, 'its documents are not where they were when the manifest was made');
}

function invalid(uri: string, problem: string): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not a readable Megatron index: ${problem}`, {
    detail: { uri },
    hint: 'Write the data set again, or take it out of the source.',
  });
}
