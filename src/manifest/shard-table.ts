/**
 * The shards of a source and their units, as columns: some hundred bytes a shard and twenty a unit. A shard is made an object when it is asked for, and
 * its layouts are parsed when a block of it is opened.
 */
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import type { Shard, Unit } from '../core/shard.js';
import { ENDING_LENGTH_MAX } from '../core/format.js';
import { bytesOf, BytesColumnBuilder, NumberColumnBuilder, textOf, type BytesColumn, type NumberColumn } from './columns.js';
import { joinLayout, LayoutWriter, readLayouts, splitLayout, type SplitLayout } from './layouts.js';

/** An object of a source: where it is, and in which version. */
export interface ShardPlace {
  /** Index into the URIs of the source: which of them it was found below. */
  readonly root: number;
  /** Path in that URI's store. */
  readonly place: string;
  /** Path below the source's root. */
  readonly path: string;
  readonly size: number;
  readonly etag: string;
}

export interface ShardColumns {
  readonly root: NumberColumn;
  readonly place: BytesColumn;
  readonly path: BytesColumn;
  readonly size: NumberColumn;
  readonly etag: BytesColumn;
  readonly contentId: BytesColumn;
  readonly rows: NumberColumn;
  /** The units of shard i are [unitEnds[i − 1], unitEnds[i]). */
  readonly unitEnds: NumberColumn;
  readonly unitStartRow: NumberColumn;
  readonly unitRows: NumberColumn;
  readonly unitDecodedBytes: NumberColumn;
  readonly unitStoredBytes: NumberColumn;
  /** 1 where the unit is never cut. */
  readonly unitIsWhole: NumberColumn;
  /** Units of each shard that a filter rules out, by what says so: they are not among the units. */
  readonly ruledOutByStatistics: NumberColumn;
  readonly ruledOutByBloom: NumberColumn;
  /** Of each shard; see layouts.ts. */
  readonly layouts: BytesColumn;
}

/** What a shard's own metadata says. */
export interface ShardFacts extends Pick<Shard, 'contentId' | 'rows' | 'units' | 'layout'> {
  /** Units that are not among `units`, since a filter takes none of their rows. */
  readonly ruledOut?: RuledOutUnits | undefined;
}

export interface RuledOutUnits {
  readonly byStatistics: number;
  readonly byBloom: number;
}

const DOT = '.'.charCodeAt(0);

export class ShardTable {
  readonly columns: ShardColumns;
  readonly shapes: readonly string[];
  /** Of all units: without those that a filter rules out. */
  readonly rows: number;

  /** Errors: `Error`, where the columns do not fit each other. */
  constructor(columns: ShardColumns, shapes: readonly string[]) {
    checkColumns(columns);
    this.columns = columns;
    this.shapes = shapes;
    this.rows = sum(columns.unitRows);
  }

  get length(): number {
    return this.columns.root.length;
  }

  /** Rows, units that a filter rules out. */
  get ruledOut(): RuledOutUnits & { readonly rows: number } {
    const { rows, ruledOutByStatistics, ruledOutByBloom } = this.columns;
    return { byStatistics: sum(ruledOutByStatistics), byBloom: sum(ruledOutByBloom), rows: sum(rows) - this.rows };
  }

  placeOf(index: number): ShardPlace {
    const { root, place, path, size, etag } = this.columns;
    return { root: root[index], place: textOf(place, index), path: textOf(path, index), size: size[index], etag: textOf(etag, index) };
  }

  /** Of shards one after the other whose names end alike, as far as formats differ by that, the path of the first: to make each of a million takes a second. */
  *pathsByEnding(): Generator<string, void, undefined> {
    const { bytes, ends } = this.columns.path;
    let ending = new Uint8Array(0);
    for (let index = 0; index < ends.length; index++) {
      const end = ends[index];
      let start = Math.max(index === 0 ? 0 : ends[index - 1], end - ENDING_LENGTH_MAX);
      while (start < end && bytes[start] !== DOT) start++;
      let isSame = index > 0 && end - start === ending.length;
      for (let i = 0; isSame && i < ending.length; i++) isSame = bytes[start + i] === ending[i];
      if (isSame) continue;
      ending = bytes.slice(start, end);
      yield textOf(this.columns.path, index);
    }
  }

  contentId(index: number): string {
    return textOf(this.columns.contentId, index);
  }

  /** Units [start, end) of the table are the shard's. */
  unitRange(index: number): { readonly start: number; readonly end: number } {
    const { unitEnds } = this.columns;
    return { start: index === 0 ? 0 : unitEnds[index - 1], end: unitEnds[index] };
  }

  /** The shard's own layout, then those of its units. */
  splitLayouts(index: number): SplitLayout[] {
    const { start, end } = this.unitRange(index);
    return readLayouts(bytesOf(this.columns.layouts, index), this.shapes, 1 + end - start);
  }
}

/** The shards of a table as objects. `storeUris`: of each of the source's URIs. */
export class Shards {
  readonly #table: ShardTable;
  readonly #storeUris: readonly string[];
  /** What lanes have open is asked for again and again. */
  readonly #recent = new LRUCache<number, Shard>({ maxSize: LIMITS.openUnitsMax });

  /** Errors: `Error`, where the table is of more URIs. */
  constructor(table: ShardTable, storeUris: readonly string[]) {
    if (table.columns.root.some((root) => root >= storeUris.length)) throw new Error('shards of a URI that the source does not have');
    this.#table = table;
    this.#storeUris = storeUris;
  }

  get length(): number {
    return this.#table.length;
  }

  at(index: number): Shard {
    let shard = this.#recent.get(index);
    if (shard === undefined) {
      if (!(index >= 0 && index < this.length)) throw new RangeError(`shard ${index} of ${this.length}`);
      shard = shardOf(this.#table, index, this.#storeUris);
      const { start, end } = this.#table.unitRange(index);
      this.#recent.set(index, shard, { size: 1 + end - start });
    }
    return shard;
  }
}

function shardOf(table: ShardTable, index: number, storeUris: readonly string[]): Shard {
  const { root, place, path, size, etag } = table.placeOf(index);
  let split: readonly SplitLayout[] | undefined;
  let units: readonly Unit[] | undefined;
  let layout: JsonValue | undefined;
  const splitLayouts = (): readonly SplitLayout[] => (split ??= table.splitLayouts(index));
  return {
    path,
    uri: storeUris[root] + place,
    size,
    etag,
    contentId: table.contentId(index),
    rows: table.columns.rows[index],
    get units() {
      return (units ??= unitsOf(table, index, splitLayouts));
    },
    get layout() {
      return (layout ??= joinLayout(splitLayouts()[0]));
    },
  };
}

function unitsOf(table: ShardTable, index: number, splitLayouts: () => readonly SplitLayout[]): Unit[] {
  const { unitStartRow, unitRows, unitDecodedBytes, unitStoredBytes, unitIsWhole } = table.columns;
  const { start, end } = table.unitRange(index);
  return Array.from({ length: end - start }, (_, i): Unit => {
    let layout: JsonValue | undefined;
    return {
      startRow: unitStartRow[start + i],
      rows: unitRows[start + i],
      decodedBytes: unitDecodedBytes[start + i],
      storedBytes: unitStoredBytes[start + i],
      isWhole: unitIsWhole[start + i] === 1,
      get layout() {
        return (layout ??= joinLayout(splitLayouts()[1 + i]));
      },
    };
  });
}

/** Takes shards in their order. */
export class ShardTableBuilder {
  readonly #root = new NumberColumnBuilder();
  readonly #place = new BytesColumnBuilder();
  readonly #path = new BytesColumnBuilder();
  readonly #size = new NumberColumnBuilder();
  readonly #etag = new BytesColumnBuilder();
  readonly #contentId = new BytesColumnBuilder();
  readonly #rows = new NumberColumnBuilder();
  readonly #unitEnds = new NumberColumnBuilder();
  readonly #unitStartRow = new NumberColumnBuilder();
  readonly #unitRows = new NumberColumnBuilder();
  readonly #unitDecodedBytes = new NumberColumnBuilder();
  readonly #unitStoredBytes = new NumberColumnBuilder();
  readonly #unitIsWhole = new NumberColumnBuilder();
  readonly #ruledOutByStatistics = new NumberColumnBuilder();
  readonly #ruledOutByBloom = new NumberColumnBuilder();
  readonly #layouts = new BytesColumnBuilder();
  readonly #layoutWriter = new LayoutWriter();
  #units = 0;

  add(place: ShardPlace, { contentId, rows, units, layout, ruledOut }: ShardFacts): void {
    this.#addShard(place, contentId, rows, ruledOut);
    for (const { startRow, rows, decodedBytes, storedBytes, isWhole = false } of units) {
      this.#addUnit(startRow, rows, decodedBytes, storedBytes, isWhole ? 1 : 0);
    }
    this.#addLayouts([splitLayout(layout), ...units.map((unit) => splitLayout(unit.layout))]);
  }

  /** What another table knows of the same version of the object. */
  addKnown(place: ShardPlace, table: ShardTable, index: number): void {
    const { rows, unitStartRow, unitRows, unitDecodedBytes, unitStoredBytes, unitIsWhole } = table.columns;
    const { ruledOutByStatistics, ruledOutByBloom } = table.columns;
    const ruledOut = { byStatistics: ruledOutByStatistics[index], byBloom: ruledOutByBloom[index] };
    this.#addShard(place, table.contentId(index), rows[index], ruledOut);
    const { start, end } = table.unitRange(index);
    for (let u = start; u < end; u++) {
      this.#addUnit(unitStartRow[u], unitRows[u], unitDecodedBytes[u], unitStoredBytes[u], unitIsWhole[u]);
    }
    this.#addLayouts(table.splitLayouts(index));
  }

  finish(): ShardTable {
    const columns: ShardColumns = {
      root: this.#root.finish(),
      place: this.#place.finish(),
      path: this.#path.finish(),
      size: this.#size.finish(),
      etag: this.#etag.finish(),
      contentId: this.#contentId.finish(),
      rows: this.#rows.finish(),
      unitEnds: this.#unitEnds.finish(),
      unitStartRow: this.#unitStartRow.finish(),
      unitRows: this.#unitRows.finish(),
      unitDecodedBytes: this.#unitDecodedBytes.finish(),
      unitStoredBytes: this.#unitStoredBytes.finish(),
      unitIsWhole: this.#unitIsWhole.finish(),
      ruledOutByStatistics: this.#ruledOutByStatistics.finish(),
      ruledOutByBloom: this.#ruledOutByBloom.finish(),
      layouts: this.#layouts.finish(),
    };
    return new ShardTable(columns, this.#layoutWriter.shapes);
  }

  #addShard({ root, place, path, size, etag }: ShardPlace, contentId: string, rows: number, ruledOut: RuledOutUnits | undefined): void {
    this.#root.push(root);
    this.#place.pushText(place);
    this.#path.pushText(path);
    this.#size.push(size);
    this.#etag.pushText(etag);
    this.#contentId.pushText(contentId);
    this.#rows.push(rows);
    this.#ruledOutByStatistics.push(ruledOut?.byStatistics ?? 0);
    this.#ruledOutByBloom.push(ruledOut?.byBloom ?? 0);
  }

  #addUnit(startRow: number, rows: number, decodedBytes: number, storedBytes: number, isWhole: number): void {
    this.#unitStartRow.push(startRow);
    this.#unitRows.push(rows);
    this.#unitDecodedBytes.push(decodedBytes);
    this.#unitStoredBytes.push(storedBytes);
    this.#unitIsWhole.push(isWhole);
    this.#units++;
  }

  #addLayouts(layouts: readonly SplitLayout[]): void {
    this.#layoutWriter.write(layouts, this.#layouts);
    this.#unitEnds.push(this.#units);
  }
}

function checkColumns(columns: ShardColumns): void {
  const { root, place, path, size, etag, contentId, rows, layouts, unitEnds } = columns;
  const { unitStartRow, unitRows, unitDecodedBytes, unitStoredBytes, unitIsWhole, ruledOutByStatistics, ruledOutByBloom } = columns;
  const texts = [place, path, etag, contentId, layouts];
  const shards = root.length;
  const units = unitStartRow.length;
  const wholes =
    [size, rows, unitEnds, ruledOutByStatistics, ruledOutByBloom, ...texts.map(({ ends }) => ends)].every(
      (column) => column.length === shards,
    ) && [unitRows, unitDecodedBytes, unitStoredBytes, unitIsWhole].every((column) => column.length === units);
  if (!wholes) throw new Error('its columns have different lengths');
  const ascending = texts.every(({ bytes, ends }) => ascendsTo(ends, bytes.length)) && ascendsTo(unitEnds, units);
  if (!ascending) throw new Error('its columns do not fit each other');
}

/** From 0 on, and up to `last`. */
function ascendsTo(ends: NumberColumn, last: number): boolean {
  let previous = 0;
  // by index, here and below: a million at a time, several times as fast as by their iterator
  for (let i = 0; i < ends.length; i++) {
    if (!(ends[i] >= previous)) return false;
    previous = ends[i];
  }
  return previous === last;
}

function sum(values: NumberColumn): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}
