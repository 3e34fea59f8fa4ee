/** Shards that a test has made as objects, as the columns that plans are made of. */
import type { Block, BlockTable, Shard } from '../../src/core/shard.js';
import { ShardTableBuilder, type ShardTable } from '../../src/manifest/shard-table.js';

export function tableOf(shards: readonly Shard[], root = 'memory://x/'): ShardTable {
  const builder = new ShardTableBuilder();
  for (const shard of shards) builder.add({ ...shard, root: 0, place: shard.uri.slice(root.length) }, shard);
  return builder.finish();
}

export function allBlocks(table: BlockTable): Block[] {
  return Array.from({ length: table.length }, (_, index) => table.at(index));
}
