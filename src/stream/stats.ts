/** What a pipeline has done so far: plain counters, which whoever shows them reads. */
import type { WorkerWork } from './messages.js';

export interface PipelineStats {
  windows: number;
  /** Under `badRows: skip`. */
  rowsSkipped: number;
  /** Tokens left out under `sequence.long: truncate`. */
  tokensTruncated: number;
  /** Slices of blocks that are damaged or missing: their rows are among `rowsSkipped` once their places are passed. */
  slicesSkipped: number;
  /** By `exclude`. */
  rowsExcluded: number;
  /** By `where`, of row groups that metadata does not rule out. */
  rowsFiltered: number;
  /** Time that windows waited for their bytes, summed over windows. */
  storeMs: number;
  /** Time of the worker threads. */
  decodeMs: number;
  tokenizeMs: number;
  packMs: number;
  /** Bytes of text that were tokenized. */
  tokenizedBytes: number;
  /** Slices of text whose tokens were in the token cache … */
  slicesKept: number;
  /** … and those whose were not. Neither is counted where there is none. */
  slicesWanted: number;
}

export function createPipelineStats(): PipelineStats {
  return {
    windows: 0,
    rowsSkipped: 0,
    tokensTruncated: 0,
    slicesSkipped: 0,
    rowsExcluded: 0,
    rowsFiltered: 0,
    storeMs: 0,
    decodeMs: 0,
    tokenizeMs: 0,
    packMs: 0,
    tokenizedBytes: 0,
    slicesKept: 0,
    slicesWanted: 0,
  };
}

export function addWork(stats: PipelineStats, work: WorkerWork): void {
  stats.decodeMs += work.decodeMs;
  stats.tokenizeMs += work.tokenizeMs;
  stats.packMs += work.packMs;
  stats.tokenizedBytes += work.tokenizedBytes;
  stats.rowsSkipped += work.rowsSkipped;
  stats.tokensTruncated += work.tokensTruncated;
  stats.rowsExcluded += work.rowsExcluded;
  stats.rowsFiltered += work.rowsFiltered;
}
