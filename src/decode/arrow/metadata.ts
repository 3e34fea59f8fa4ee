/**
 * What the flatbuffers of an Arrow file or stream say, as plain objects. Any byte of them may be wrong, and the generated readers check nothing: so
 * counts, depths and numbers are bounded here, and nothing is allocated for what they claim.
 * Source: Apache Arrow columnar format, "Serialization and Interprocess Communication (IPC)", and its Schema.fbs, Message.fbs, File.fbs.
 */
import { CompressionType } from 'apache-arrow/fb/compression-type';
import { Date as ArrowDate } from 'apache-arrow/fb/date';
import { DateUnit } from 'apache-arrow/fb/date-unit';
import { Decimal } from 'apache-arrow/fb/decimal';
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch';
import { Endianness } from 'apache-arrow/fb/endianness';
import type { Field } from 'apache-arrow/fb/field';
import { FixedSizeBinary } from 'apache-arrow/fb/fixed-size-binary';
import { FixedSizeList } from 'apache-arrow/fb/fixed-size-list';
import { FloatingPoint } from 'apache-arrow/fb/floating-point';
import { Footer } from 'apache-arrow/fb/footer';
import { Int } from 'apache-arrow/fb/int';
import { Message } from 'apache-arrow/fb/message';
import { MessageHeader } from 'apache-arrow/fb/message-header';
import { MetadataVersion } from 'apache-arrow/fb/metadata-version';
import { Precision } from 'apache-arrow/fb/precision';
import { RecordBatch } from 'apache-arrow/fb/record-batch';
import { Schema } from 'apache-arrow/fb/schema';
import { TimeUnit } from 'apache-arrow/fb/time-unit';
import { Timestamp } from 'apache-arrow/fb/timestamp';
import { Type } from 'apache-arrow/fb/type';
import { Union } from 'apache-arrow/fb/union';
import { UnionMode } from 'apache-arrow/fb/union-mode';
import { ByteBuffer } from 'flatbuffers';
import { LIMITS } from '../../config/limits.js';
import type { IntegerType } from '../integers.js';
import type { ArrowCodec } from './encoded-slice.js';

/** Metadata that no writer writes. */
export class ArrowMetadataError extends Error {
  override readonly name = 'ArrowMetadataError';
}

/** Metadata that is whole, and that is not read here. */
export class ArrowUnsupported extends Error {
  override readonly name = 'ArrowUnsupported';
}

export type ArrowScalar =
  | { readonly kind: 'float'; readonly bytes: 2 | 4 | 8 }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'decimal'; readonly bytes: number; readonly scale: number }
  /** Days, or milliseconds of whole days. */
  | { readonly kind: 'date'; readonly bytes: 4 | 8 }
  | { readonly kind: 'timestamp'; readonly unitsPerSecond: number; readonly utc: boolean };

export interface ArrowField {
  readonly name: string;
  /** Of the values, where they are in a dictionary. */
  readonly type: Type;
  /** Of integers, else `undefined`. */
  readonly integer: IntegerType | undefined;
  /** Of the others that take as many bytes in every row, as far as they are known here. */
  readonly scalar: ArrowScalar | undefined;
  /** Of lists of a fixed size. */
  readonly listSize: number;
  readonly isDense: boolean;
  readonly dictionary: { readonly id: bigint; readonly index: IntegerType } | undefined;
  readonly children: readonly ArrowField[];
}

export interface ArrowSchema {
  readonly fields: readonly ArrowField[];
  /** Unions had a bitmap in older versions. */
  readonly unionsHaveBitmaps: boolean;
}

/** A message in a file: its metadata, with its prefix, and behind it its body. */
export interface ArrowPlace {
  readonly startByte: number;
  readonly metadataBytes: number;
  readonly bodyBytes: number;
}

export interface ArrowBatch {
  readonly rows: number;
  readonly codec: ArrowCodec;
  /** Values and nulls of each array, depth first. */
  readonly nodes: readonly (readonly [values: number, nulls: number])[];
  /** From the body's start on. */
  readonly buffers: readonly (readonly [startByte: number, bytes: number])[];
  readonly variadicCounts: readonly number[];
}

export type ArrowMessage =
  | { readonly kind: 'schema'; readonly schema: ArrowSchema; readonly bodyBytes: number }
  | { readonly kind: 'batch'; readonly batch: ArrowBatch; readonly bodyBytes: number }
  | { readonly kind: 'dictionary'; readonly id: bigint; readonly isDelta: boolean; readonly batch: ArrowBatch; readonly bodyBytes: number }
  | { readonly kind: 'other'; readonly bodyBytes: number };

/** Throws `ArrowMetadataError`, `ArrowUnsupported`. */
export function readFooter(bytes: Uint8Array): {
  readonly schema: ArrowSchema;
  readonly dictionaries: ArrowPlace[];
  readonly batches: ArrowPlace[];
} {
  return checked(() => {
    const footer = Footer.getRootAsFooter(new ByteBuffer(bytes));
    const schema = footer.schema();
    if (schema === null) throw new ArrowMetadataError('its footer has no schema');
    const place = (block: { offset(): bigint; metaDataLength(): number; bodyLength(): bigint } | null): ArrowPlace => {
      if (block === null) throw new ArrowMetadataError('its footer lacks a block');
      return {
        startByte: whole(block.offset()),
        metadataBytes: whole(BigInt(block.metaDataLength())),
        bodyBytes: whole(block.bodyLength()),
      };
    };
    // 24 bytes a block
    const blocksMax = bytes.length / 24;
    return {
      schema: schemaOf(schema, footer.version()),
      dictionaries: list(footer.dictionariesLength(), blocksMax, (i) => place(footer.dictionaries(i))),
      batches: list(footer.recordBatchesLength(), blocksMax, (i) => place(footer.recordBatches(i))),
    };
  });
}

/** The metadata of one message, without its prefix. Throws `ArrowMetadataError`, `ArrowUnsupported`. */
export function readMessage(bytes: Uint8Array): ArrowMessage {
  return checked((): ArrowMessage => {
    const message = Message.getRootAsMessage(new ByteBuffer(bytes));
    const bodyBytes = whole(message.bodyLength());
    checkVersion(message.version());
    switch (message.headerType()) {
      case MessageHeader.Schema: {
        const schema = message.header(new Schema()) as Schema | null;
        if (schema === null) throw new ArrowMetadataError('a message of a schema has none');
        return { kind: 'schema', schema: schemaOf(schema, message.version()), bodyBytes };
      }
      case MessageHeader.RecordBatch:
        return { kind: 'batch', batch: batchOf(message.header(new RecordBatch()) as RecordBatch | null, bytes.length), bodyBytes };
      case MessageHeader.DictionaryBatch: {
        const batch = message.header(new DictionaryBatch()) as DictionaryBatch | null;
        if (batch === null) throw new ArrowMetadataError('a message of a dictionary has none');
        return { kind: 'dictionary', id: batch.id(), isDelta: batch.isDelta(), batch: batchOf(batch.data(), bytes.length), bodyBytes };
      }
      default:
        return { kind: 'other', bodyBytes };
    }
  });
}

function schemaOf(schema: Schema, version: MetadataVersion): ArrowSchema {
  checkVersion(version);
  if (schema.endianness() !== Endianness.Little) throw new ArrowUnsupported('it is big-endian');
  let left = LIMITS.arrowFieldsMax;
  const fieldOf = (field: Field | null, depth: number): ArrowField => {
    if (field === null || depth > LIMITS.arrowDepthMax || left-- <= 0)
      throw new ArrowMetadataError('its schema has too many fields, or they are nested too deep');
    const type = field.typeType();
    const encoding = field.dictionary();
    const index = encoding?.indexType() ?? null;
    return {
      name: field.name() ?? '',
      type,
      integer: type === Type.Int ? integerOf(field.type(new Int()) as Int | null) : undefined,
      scalar: scalarOf(field),
      listSize:
        type === Type.FixedSizeList ? whole(BigInt((field.type(new FixedSizeList()) as FixedSizeList | null)?.listSize() ?? -1)) : 0,
      isDense: type === Type.Union && (field.type(new Union()) as Union | null)?.mode() === UnionMode.Dense,
      // the format's default is int32
      dictionary:
        encoding === null ? undefined : { id: encoding.id(), index: index === null ? { bytes: 4, signed: true } : integerOf(index) },
      children: list(field.childrenLength(), left, (i) => fieldOf(field.children(i), depth + 1)),
    };
  };
  return {
    fields: list(schema.fieldsLength(), left, (i) => fieldOf(schema.fields(i), 0)),
    unionsHaveBitmaps: version < MetadataVersion.V5,
  };
}

/** Nothing else of an older one, or of a newer one, is where it is looked for. */
function checkVersion(version: MetadataVersion): void {
  if (version < MetadataVersion.V4) throw new ArrowUnsupported(`it has version ${version + 1} of Arrow's metadata, from before Arrow 0.8`);
  if (version > MetadataVersion.V5) throw new ArrowUnsupported(`it has version ${version + 1} of Arrow's metadata`);
}

function scalarOf(field: Field): ArrowScalar | undefined {
  switch (field.typeType()) {
    case Type.Bool:
      return { kind: 'boolean' };
    case Type.FloatingPoint: {
      const precision = (field.type(new FloatingPoint()) as FloatingPoint | null)?.precision();
      const bytes = precision === Precision.HALF ? 2 : precision === Precision.SINGLE ? 4 : precision === Precision.DOUBLE ? 8 : undefined;
      return bytes && { kind: 'float', bytes };
    }
    case Type.FixedSizeBinary: {
      const bytes = (field.type(new FixedSizeBinary()) as FixedSizeBinary | null)?.byteWidth() ?? 0;
      return bytes > 0 ? { kind: 'bytes', bytes } : undefined;
    }
    case Type.Decimal: {
      const type = field.type(new Decimal()) as Decimal | null;
      const bytes = (type?.bitWidth() ?? 0) / 8;
      const scale = type?.scale() ?? -1;
      return DECIMAL_BYTES.has(bytes) && scale >= 0 && scale <= DECIMAL_SCALE_MAX ? { kind: 'decimal', bytes, scale } : undefined;
    }
    case Type.Date: {
      const unit = (field.type(new ArrowDate()) as ArrowDate | null)?.unit();
      return unit === DateUnit.DAY ? { kind: 'date', bytes: 4 } : unit === DateUnit.MILLISECOND ? { kind: 'date', bytes: 8 } : undefined;
    }
    case Type.Timestamp: {
      const type = field.type(new Timestamp()) as Timestamp | null;
      const unitsPerSecond = type === null ? undefined : UNITS_PER_SECOND.get(type.unit());
      if (unitsPerSecond === undefined) return undefined;
      return { kind: 'timestamp', unitsPerSecond, utc: (type?.timezone() ?? '') !== '' };
    }
    default:
      return undefined;
  }
}

const DECIMAL_BYTES: ReadonlySet<number> = new Set([4, 8, 16, 32]);
/** Digits of 256 bits. */
const DECIMAL_SCALE_MAX = 76;
const UNITS_PER_SECOND: ReadonlyMap<TimeUnit, number> = new Map([
  [TimeUnit.SECOND, 1],
  [TimeUnit.MILLISECOND, 1e3],
  [TimeUnit.MICROSECOND, 1e6],
  [TimeUnit.NANOSECOND, 1e9],
]);

function integerOf(type: Int | null): IntegerType {
  const bytes = (type?.bitWidth() ?? 0) / 8;
  if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8)
    throw new ArrowMetadataError(`its schema has an integer of ${8 * bytes} bits`);
  return { bytes, signed: type?.isSigned() ?? true };
}

function batchOf(batch: RecordBatch | null, bytes: number): ArrowBatch {
  if (batch === null) throw new ArrowMetadataError('a message of a record batch has none');
  const compression = batch.compression();
  const codec = compression === null ? 'none' : compression.codec() === CompressionType.LZ4_FRAME ? 'lz4' : 'zstd';
  return {
    rows: whole(batch.length()),
    codec,
    // 16 bytes each
    nodes: list(batch.nodesLength(), bytes / 16, (i) => {
      const node = batch.nodes(i);
      return [whole(node?.length() ?? -1n), whole(node?.nullCount() ?? -1n)] as const;
    }),
    buffers: list(batch.buffersLength(), bytes / 16, (i) => {
      const buffer = batch.buffers(i);
      return [whole(buffer?.offset() ?? -1n), whole(buffer?.length() ?? -1n)] as const;
    }),
    variadicCounts: list(batch.variadicBufferCountsLength(), bytes / 8, (i) => whole(batch.variadicBufferCounts(i) ?? -1n)),
  };
}

function list<T>(length: number, lengthMax: number, make: (index: number) => T): T[] {
  if (!(length >= 0 && length <= lengthMax)) throw new ArrowMetadataError(`its metadata claims a list of ${length}`);
  return Array.from({ length }, (_, index) => make(index));
}

function whole(value: bigint): number {
  const number = Number(value);
  if (!(Number.isSafeInteger(number) && number >= 0)) throw new ArrowMetadataError(`its metadata has ${value} for a size`);
  return number;
}

/** Readers of damaged flatbuffers leave their bytes, and throw whatever that leads to. */
function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ArrowMetadataError || error instanceof ArrowUnsupported) throw error;
    throw new ArrowMetadataError('its metadata cannot be parsed', { cause: error });
  }
}
