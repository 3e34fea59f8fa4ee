/** Where the column chunks and pages of a Parquet file begin. */
import { parquetMetadata } from 'hyparquet';
import { pagesOf } from '../../../src/decode/parquet/pages.js';

export function parquetCuts(bytes: Uint8Array): number[] {
  const cuts = new Set<number>([4]);
  for (const { meta_data: meta } of parquetMetadata(bytes).row_groups.flatMap(({ columns }) => columns)) {
    if (meta === undefined) continue;
    const start = Number(meta.dictionary_page_offset ?? meta.data_page_offset);
    const end = start + Number(meta.total_compressed_size);
    for (const { offset } of pagesOf(bytes.slice(start, end), meta.codec)) cuts.add(start + offset);
    cuts.add(end);
  }
  return [...cuts].sort((a, b) => a - b);
}
