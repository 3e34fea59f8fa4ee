/** Writes rows of token ids as Parquet shards of one directory. */
import { parquetWriteBuffer } from 'hyparquet-writer';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Deals the rows to `shards` files, in the column `ids`. */
export async function writeParquet(dir: string, rows: readonly (readonly number[])[], shards: number): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (let shard = 0; shard < shards; shard++) {
    const own = rows.filter((_, row) => row % shards === shard);
    await writeFile(path.join(dir, `part-${shard}.parquet`), tokenRows(own));
  }
}

/** One file of lists of int32. */
export function tokenRows(rows: readonly (readonly number[] | null)[], rowGroupSize?: number): Uint8Array {
  const buffer = parquetWriteBuffer({
    schema: [
      { name: 'root', num_children: 1 },
      { name: 'ids', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' },
    ],
    columnData: [{ name: 'ids', data: [...rows] }],
    ...(rowGroupSize !== undefined && { rowGroupSize }),
  });
  return new Uint8Array(buffer);
}
