/** What the metadata of an Arrow file or stream says of it, for `headrace inspect`: of bodies, a few lengths are read. */
import { Type } from 'apache-arrow/fb/type';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import type { ColumnDescription, ShardDescription } from '../decoder.js';
import { columnTypeOf } from './column-types.js';
import { bufferOf, decodedLength, lengthPlaces, type Body } from './body.js';
import { describeField, placesOf } from './column.js';
import type { ArrowVisitor, FoundMessage, ReadBytes } from './messages.js';
import type { ArrowField, ArrowSchema } from './metadata.js';
import { visitArrow } from './visit.js';

/** Compressed messages of either kind whose buffers are asked for their decoded lengths, each of which may be a request: the others are taken to be like them. */
const MEASURED_MESSAGES_MAX = 4;

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function describeArrow(
  store: Store,
  object: ObjectInfo,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardDescription> {
  const description = new Description();
  await visitArrow(store, object, description, signal);
  return description.finish();
}

interface Sizes {
  storedBytes: number;
  decodedBytes: number;
}

/** A column as a source names it, and what was met of it. */
interface Met {
  readonly name: string;
  readonly field: ArrowField;
  storedBytes: number;
  /** Of the messages that were measured. */
  readonly measured: Sizes;
  nulls: number;
}

class Description implements ArrowVisitor {
  #schema: ArrowSchema | undefined;
  #columns: readonly Met[] = [];
  readonly #units: { readonly rows: number; readonly storedBytes: number; readonly isWhole: boolean }[] = [];
  readonly #codecs = new Set<string>();
  readonly #measured = { batch: 0, dictionary: 0 };
  #peeked = 0;

  schema(schema: ArrowSchema): void {
    this.#schema = schema;
    this.#columns = schema.fields.flatMap((field) => columnsOf(field, field.name));
  }

  peeks({ message, bodyByte }: FoundMessage): ByteRange[] {
    const { batch, kind, bodyBytes } = message;
    if (kind === 'dictionary' || batch.codec === 'none' || this.#peeked++ >= MEASURED_MESSAGES_MAX) return [];
    return lengthPlaces(batch.buffers, bodyByte, bodyBytes);
  }

  async message({ message, bodyByte }: FoundMessage, read: ReadBytes): Promise<void> {
    const { batch, kind } = message;
    if (batch.codec !== 'none') this.#codecs.add(batch.codec);
    const body: Body = { batch, bodyByte, bodyBytes: message.bodyBytes, read };
    const isMeasured = this.#measured[kind]++ < MEASURED_MESSAGES_MAX;
    const add = async (column: Met, buffers: readonly number[]): Promise<number> => {
      let stored = 0;
      for (const buffer of buffers) {
        const [, bytes] = batch.buffers[buffer];
        stored += bytes;
        if (!isMeasured) continue;
        column.measured.storedBytes += bytes;
        column.measured.decodedBytes += await decodedLength(body, await bufferOf(body, buffer, 0));
      }
      column.storedBytes += stored;
      return stored;
    };
    if (message.kind === 'dictionary') {
      const own = this.#columns.find(({ field }) => field.dictionary?.id === message.id);
      if (own !== undefined) await add(own, [...batch.buffers.keys()]);
      return;
    }
    const places = placesOf(this.#schema as ArrowSchema, batch);
    let storedBytes = 0;
    for (const column of this.#columns) {
      const arrays = arraysOf(column.field).flatMap((field) => places.get(field) ?? []);
      storedBytes += await add(
        column,
        arrays.flatMap(({ buffer, buffers }) => Array.from({ length: buffers }, (_, i) => buffer + i)),
      );
      column.nulls += column.field.type === Type.Null ? batch.rows : batch.nodes[arrays[0].node][1];
    }
    this.#units.push({ rows: batch.rows, storedBytes, isWhole: batch.codec !== 'none' });
  }

  finish(): ShardDescription {
    const columns = this.#columns.map(({ name, field, storedBytes, measured, nulls }): ColumnDescription => ({
      name,
      type: describeField(field),
      use: useOf(field),
      codecs: [...this.#codecs].sort(),
      encodings: [],
      storedBytes,
      decodedBytes: Math.round(storedBytes * growthOf(measured)),
      nulls,
    }));
    const sum = (bytes: 'storedBytes' | 'decodedBytes'): number => columns.reduce((total, column) => total + column[bytes], 0);
    const growth = growthOf({ storedBytes: sum('storedBytes'), decodedBytes: sum('decodedBytes') });
    return {
      rows: this.#units.reduce((total, { rows }) => total + rows, 0),
      columns,
      units: this.#units.map((unit) => ({ ...unit, decodedBytes: Math.round(unit.storedBytes * growth) })),
      hasStatistics: true, // it has none, and no other way of writing it has
    };
  }
}

function growthOf({ storedBytes, decodedBytes }: Sizes): number {
  return storedBytes === 0 ? 1 : decodedBytes / storedBytes;
}

/** The fields of structs are columns of their own, by their paths. */
function columnsOf(field: ArrowField, name: string): Met[] {
  if (field.type === Type.Struct_ && field.dictionary === undefined && field.children.length > 0)
    return field.children.flatMap((child) => columnsOf(child, `${name}.${child.name}`));
  return [{ name, field, storedBytes: 0, measured: { storedBytes: 0, decodedBytes: 0 }, nulls: 0 }];
}

/** It, and those inside it, which have their places in a record batch too. */
function arraysOf(field: ArrowField): ArrowField[] {
  return [field, ...(field.dictionary === undefined ? field.children.flatMap(arraysOf) : [])];
}

function useOf(field: ArrowField): ColumnDescription['use'] {
  if (columnTypeOf(field, 'text') !== undefined) return 'text';
  return columnTypeOf(field, 'tokens') === undefined ? undefined : 'tokens';
}
