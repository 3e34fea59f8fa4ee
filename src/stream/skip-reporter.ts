/** Tells of rows that are left out: counters, a bounded number of lines in the log, and every record to whoever asked for them. */
import { LIMITS } from '../config/limits.js';
import type { SkipRecord, SkippedRows } from '../core/skip.js';
import type { PipelineStats } from './stats.js';

export interface SkipReporterOptions {
  readonly stats: PipelineStats;
  readonly warn: ((message: string, detail: Readonly<Record<string, string | number>>) => void) | undefined;
  readonly onSkip: ((record: SkipRecord) => void) | undefined;
}

/** `uri`: of the shard that the rows are of. */
export type SkipReporter = (source: string, uri: string, rows: SkippedRows) => void;

/** One line a block that is damaged or missing, and one a bad row; of each kind, `skipLinesMax`. */
export function createSkipReporter({ stats, warn, onSkip }: SkipReporterOptions): SkipReporter {
  const blocks = new Set<string>();
  let rowLines = 0;

  const line = (count: number, what: string, record: SkipRecord): void => {
    if (count > LIMITS.skipLinesMax) return;
    warn?.(`left out: ${record.problem}`, { ...record });
    if (count === LIMITS.skipLinesMax) warn?.(`further ${what} are left out without a line here: they are counted`, { lines: count });
  };

  return (source, uri, { blockStartRow, startRow, endRow, reason, problem }) => {
    const record: SkipRecord = { source, uri, startRow, endRow, reason, problem };
    onSkip?.(record);
    if (reason === 'bad-row') {
      line(++rowLines, 'bad rows', record);
      return;
    }
    stats.slicesSkipped++;
    const block = `${source}\0${uri}\0${blockStartRow}`;
    if (blocks.has(block) || blocks.size >= LIMITS.skipLinesMax) return;
    blocks.add(block);
    line(blocks.size, 'damaged and missing blocks', record);
  };
}
