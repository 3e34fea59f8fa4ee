/**
 * What a run of the gate has left, as rows of streams:
 *
 *   rank 0: rows, links ─┐
 *   rank 1: rows, links ─┴─ step by step, as their loader numbers the slots ──▶ rows, the stream of each
 *
 * A link is the number of the row's stream, of its rank alone; or where it begins and ends inside documents, from which streams are found here: what one rank's
 * row breaks off may go on in a row of another one.
 */
import { readFileSync } from 'node:fs';

/** A row of ids. */
export const LENGTH = 2048;
/** Of a batch. */
export const ROWS = 8;
/** Of a place in a document: source, shard, row, token. */
const PLACE = 4;

export interface Delivery {
  /** Rows of LENGTH ids each, in the order in which they came. */
  readonly ids: Int32Array;
  /** The stream of each row. */
  readonly streams: Int32Array;
}

/** What one rank had, and how trainer.py keeps it. */
export interface RankDelivery {
  readonly ids: Int32Array;
  /** One number a row, or two places: it goes on from the first, and is followed from the second; −1 in them where it begins or ends with a document. */
  readonly links: Int32Array;
}

export function readRank(gateFile: string): RankDelivery {
  return { ids: new Int32Array(readWhole(gateFile)), links: new Int32Array(readWhole(`${gateFile}.streams`)) };
}

/** A file's bytes, in a buffer of their own. */
export function readWhole(file: string): ArrayBuffer {
  const bytes = readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

/** Row i of each rank's batch in turn, then row i + 1: rank r of W has the slots j of a step with j mod W = r. */
export function joined(ranks: readonly RankDelivery[]): Delivery {
  const rows = ranks.map(({ ids }) => Math.floor(ids.length / LENGTH));
  const ids = new Int32Array(ranks.reduce((sum, rank) => sum + rank.ids.length, 0));
  const streams = new Int32Array(rows.reduce((sum, own) => sum + own, 0));
  const streamOf = streamsOf();
  let row = 0;
  for (let i = 0; i < Math.max(...rows, 0); i++) {
    for (const [rank, { ids: own, links }] of ranks.entries()) {
      if (i >= rows[rank]) continue;
      ids.set(own.subarray(i * LENGTH, (i + 1) * LENGTH), row * LENGTH);
      const width = links.length / rows[rank];
      streams[row++] = streamOf(rank, links.subarray(i * width, (i + 1) * width));
    }
  }
  return { ids, streams };
}

/** Numbers the streams of rows that come in order. */
function streamsOf(): (rank: number, link: Int32Array) => number {
  let made = 0;
  const numbered = new Map<string, number>();
  /** By the place that follows; several, where epochs overlap. */
  const open = new Map<string, number[]>();
  return (rank, link) => {
    if (link.length === 1) {
      const key = `${rank} ${link[0]}`;
      const known = numbered.get(key) ?? made++;
      numbered.set(key, known);
      return known;
    }
    const [from, to] = [link.subarray(0, PLACE), link.subarray(PLACE)];
    const stream = (from[0] < 0 ? undefined : open.get(from.join())?.shift()) ?? made++;
    if (to[0] >= 0) open.set(to.join(), [...(open.get(to.join()) ?? []), stream]);
    return stream;
  };
}
