/**
 * How well the plan shuffles, by itself: no I/O, made-up shards of documents of one size. `npm run bench -- shuffle [--seeds 2]`.
 *
 *   plan ──windows in order of lane──▶ documents as slots take them, one a lane in turn ─┐
 *   shuffled shards ──read one after the other──▶ buffer of 10,000 documents ────────────┼──▶ neighbours, spread
 *   a perfect permutation ───────────────────────────────────────────────────────────────┘
 */
import { parseArgs } from 'node:util';
import { LIMITS } from '../src/config/limits.js';
import type { Unit } from '../src/core/shard.js';
import { createPermutation } from '../src/core/permutation.js';
import { cutBlocks } from '../src/manifest/blocks.js';
import { ShardTableBuilder, type ShardTable } from '../src/manifest/shard-table.js';
import { createSourcePlan } from '../src/plan/source-plan.js';
import { randomFrom, shuffled, type Random } from './random.js';

const { values: options } = parseArgs({ options: { seeds: { type: 'string', default: '2' } }, allowPositionals: true });

const LANES = 8;
const BUFFER_DOCUMENTS = 10_000;
/** Neighbours are all pairs of documents that are at most so far from each other: what a batch has. */
const NEAR = 64;
/** Of every so manieth document. */
const NEAR_EVERY = 8;

interface DataSet {
  readonly name: string;
  readonly shards: number;
  readonly rowGroups: number;
  readonly rows: number;
  readonly documentBytes: number;
}

const DATA_SETS: readonly DataSet[] = [
  { name: '64 shards × 16 row groups × 1,000 documents of 4 KiB', shards: 64, rowGroups: 16, rows: 1000, documentBytes: 4096 },
  { name: '8 shards × 4 row groups × 1,000 documents of 4 KiB', shards: 8, rowGroups: 4, rows: 1000, documentBytes: 4096 },
];

/** Documents by their number in the data set, shard after shard, in the order of delivery. */
type Order = Uint32Array;

interface Quality {
  /** Of documents next to each other, the share that comes from one shard; from one row group; and of all pairs that are near, from one row group. */
  readonly adjacentShard: number;
  readonly adjacentUnit: number;
  readonly nearUnit: number;
  /** Correlation of the places in the data set of documents next to each other. */
  readonly correlation: number;
  /** Kolmogorov's distance of the positions of a shard's documents from an even spread over the epoch: mean and largest over shards. */
  readonly spreadMean: number;
  readonly spreadMax: number;
}

function main(): void {
  console.log(`command: npm run bench -- shuffle --seeds ${options.seeds}; ${LANES} lanes; means over the seeds, of "worst" the largest`);
  const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed + 1);
  for (const set of DATA_SETS) {
    const table = tableOf(set);
    console.log(`\n${set.name}\n`);
    console.log(
      '| order | neighbours of one shard | of one row group | within 64, of one row group | correlation | spread, mean | worst |',
    );
    console.log('| --- | --- | --- | --- | --- | --- | --- |');
    const print = (name: string, orderOf: (seed: number) => Order): void =>
      console.log(`| ${name} | ${cellsOf(seeds.map((seed) => qualityOf(checked(orderOf(seed), set), set))).join(' | ')} |`);
    print('file order', () => Uint32Array.from({ length: documentsOf(set) }, (_, i) => i));
    print('buffer of 10,000 over shuffled shards', (seed) => bufferOrder(set, randomFrom(seed)));
    print('buffer of 10,000, 8 shards at a time', (seed) => bufferOrder(set, randomFrom(seed), LANES));
    for (const blocks of [1, 8, 32]) {
      const mark = blocks === LIMITS.shuffleBlocksDefault ? ' (default)' : '';
      print(`\`shuffle.blocks: ${blocks}\`${mark}`, (seed) => planOrder(table, set, seed, blocks, LIMITS.windowBytesDefault));
    }
    for (const kibibytes of [256, 128]) {
      print(`\`windowBytes: ${kibibytes}KiB\``, (seed) => planOrder(table, set, seed, LIMITS.shuffleBlocksDefault, kibibytes * 2 ** 10));
    }
    print('perfect permutation', (seed) => Uint32Array.from(shuffled([...Array(documentsOf(set)).keys()], randomFrom(seed))));
  }
}

function documentsOf({ shards, rowGroups, rows }: DataSet): number {
  return shards * rowGroups * rows;
}

function tableOf({ shards, rowGroups, rows, documentBytes }: DataSet): ShardTable {
  const builder = new ShardTableBuilder();
  for (let shard = 0; shard < shards; shard++) {
    const units = Array.from({ length: rowGroups }, (_, unit): Unit => {
      const decodedBytes = rows * documentBytes;
      return { startRow: unit * rows, rows, decodedBytes, storedBytes: decodedBytes / 3, layout: {} };
    });
    const name = `part-${String(shard).padStart(4, '0')}`;
    builder.add(
      { root: 0, place: name, path: name, size: 1, etag: '' },
      { contentId: name.padStart(64, '0'), rows: rowGroups * rows, units, layout: {} },
    );
  }
  return builder.finish();
}

/** Documents have one size, so each lane gives one in turn, as its slots take sequences; a lane at its end is passed over. */
function planOrder(table: ShardTable, set: DataSet, seed: number, blocks: number, windowBytes: number): Order {
  const plan = createSourcePlan(cutBlocks(table, { lanes: LANES, windowBytes }), {
    name: 'web',
    seed,
    lanes: LANES,
    shuffleBlocks: blocks,
    windowBytes,
    epochs: 1,
  });
  const lanes = Array.from({ length: LANES }, function* (_, lane): Generator<number, void, undefined> {
    for (let place = plan.firstPlace(lane); !plan.isPastEnd(place); place = plan.nextPlace(place)) {
      const { slices, rows, orderKey } = plan.window(place);
      const documents = slices.flatMap(({ block, startRow, endRow }) =>
        Array.from({ length: endRow - startRow }, (_, i) => block.shard * set.rowGroups * set.rows + startRow + i),
      );
      const order = orderKey && createPermutation(orderKey, rows);
      for (let i = 0; i < rows; i++) yield documents[order?.at(i) ?? i];
    }
  });
  const order: number[] = [];
  for (let open = lanes; open.length > 0;) {
    open = open.filter((lane) => {
      const { value } = lane.next();
      if (value !== undefined) order.push(value);
      return value !== undefined;
    });
  }
  return Uint32Array.from(order);
}

/** What most loaders do: shards in random order, `open` of them read in turn, into a buffer out of which documents are drawn at random. */
function bufferOrder(set: DataSet, random: Random, open = 1): Order {
  const perShard = set.rowGroups * set.rows;
  const waiting = shuffled([...Array(set.shards).keys()], random).map((shard) => ({ next: shard * perShard, end: (shard + 1) * perShard }));
  const reading = waiting.splice(0, open);
  const order = new Uint32Array(documentsOf(set));
  const buffer: number[] = [];
  let delivered = 0;
  const draw = (): void => {
    const at = Math.floor(random() * buffer.length);
    order[delivered++] = buffer[at];
    buffer[at] = buffer[buffer.length - 1];
    buffer.pop();
  };
  for (let turn = 0; reading.length > 0; turn++) {
    const index = turn % reading.length;
    const shard = reading[index];
    buffer.push(shard.next++);
    if (shard.next === shard.end) reading.splice(index, 1, ...waiting.splice(0, 1));
    if (buffer.length > BUFFER_DOCUMENTS) draw();
  }
  while (buffer.length > 0) draw();
  return order;
}

/** Every document once: otherwise the figures are of something else. */
function checked(order: Order, set: DataSet): Order {
  if (order.length !== documentsOf(set) || new Set(order).size !== order.length) throw new Error('this is no order of all documents');
  return order;
}

function qualityOf(order: Order, set: DataSet): Quality {
  const perShard = set.rowGroups * set.rows;
  const unitOf = (position: number): number => Math.floor(order[position] / set.rows);
  const sameShard = (a: number, b: number): boolean => Math.floor(order[a] / perShard) === Math.floor(order[b] / perShard);
  let [shard, unit, near, nearPairs] = [0, 0, 0, 0];
  for (let i = 1; i < order.length; i++) {
    if (sameShard(i - 1, i)) shard++;
    if (unitOf(i - 1) === unitOf(i)) unit++;
    if (i % NEAR_EVERY === 0)
      for (let distance = 1; distance <= Math.min(NEAR, i); distance++, nearPairs++) if (unitOf(i - distance) === unitOf(i)) near++;
  }
  const spreads = spreadsOf(order, set.shards, perShard);
  return {
    adjacentShard: shard / (order.length - 1),
    adjacentUnit: unit / (order.length - 1),
    nearUnit: near / nearPairs,
    correlation: correlationOf(order),
    spreadMean: mean(spreads),
    spreadMax: Math.max(...spreads),
  };
}

/** Pearson's, of each document's number and the next one's. */
function correlationOf(order: Order): number {
  const middle = (order.length - 1) / 2;
  let [together, alone] = [0, 0];
  for (let i = 0; i < order.length; i++) {
    alone += (order[i] - middle) ** 2;
    if (i > 0) together += (order[i] - middle) * (order[i - 1] - middle);
  }
  return together / alone;
}

function spreadsOf(order: Order, shards: number, perShard: number): number[] {
  const seen = new Uint32Array(shards);
  const furthest = new Float64Array(shards);
  for (const [position, document] of order.entries()) {
    const shard = Math.floor(document / perShard);
    const before = Math.abs(seen[shard] / perShard - position / order.length);
    seen[shard]++;
    const after = Math.abs(seen[shard] / perShard - (position + 1) / order.length);
    furthest[shard] = Math.max(furthest[shard], before, after);
  }
  return [...furthest];
}

function cellsOf(qualities: readonly Quality[]): string[] {
  const meanOf = (name: keyof Quality): number => mean(qualities.map((quality) => quality[name]));
  const percents = [meanOf('adjacentShard'), meanOf('adjacentUnit'), meanOf('nearUnit')].map((share) => `${(100 * share).toFixed(2)} %`);
  const worst = Math.max(...qualities.map(({ spreadMax }) => spreadMax));
  return [...percents, ...[meanOf('correlation'), meanOf('spreadMean'), worst].map((value) => value.toFixed(3))];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

main();
