/** Cuts the samples of an MDS shard into units, by the places that stand at its start, and checks that these ascend. The worker's half of a scan. */
import { createHash } from 'node:crypto';

export interface MdsPlacesRequest {
  /** Places of consecutive samples (uint32), and of the end of the last. Transferred. */
  readonly bytes: Uint8Array;
  /** Of the first. */
  readonly startRow: number;
  /** A unit has at most so many bytes, or one sample. */
  readonly unitBytes: number;
  /** And a sample at most so many. */
  readonly sampleBytesMax: number;
}

export interface MdsUnits {
  /** Two numbers a unit: its rows, and where it ends. */
  readonly units: Float64Array;
  /** The shortest sample, and its row. */
  readonly shortestBytes: number;
  readonly shortestRow: number;
  /** SHA-256 (hex). */
  readonly digest: string;
  readonly problem: MdsPlaceProblem | undefined;
}

export interface MdsPlaceProblem {
  readonly row: number;
  /** The sample is whole, but too long. */
  readonly isLong: boolean;
  readonly message: string;
}

export function cutMdsUnits({ bytes, startRow, unitBytes, sampleBytesMax }: MdsPlacesRequest): MdsUnits {
  const digest = createHash('sha256').update(bytes).digest('hex');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const rows = bytes.length / 4 - 1;
  const units: number[] = [];
  let [shortestBytes, shortestRow] = [Infinity, startRow];
  const result = (problem?: MdsPlaceProblem): MdsUnits => ({
    units: Float64Array.from(units),
    shortestBytes,
    shortestRow,
    digest,
    problem,
  });
  let start = view.getUint32(0, true);
  let unit = { rows: 0, startByte: start };
  const close = (): void => {
    if (unit.rows > 0) units.push(unit.rows, start);
    unit = { rows: 0, startByte: start };
  };
  for (let i = 0; i < rows; i++) {
    const end = view.getUint32(4 * (i + 1), true);
    const row = startRow + i;
    const size = end - start;
    if (size < 0) return result({ row, isLong: false, message: `a sample starts at byte ${start}, and ends at byte ${end}` });
    if (size > sampleBytesMax) {
      return result({ row, isLong: true, message: `row ${row} has ${size} bytes, and at most ${sampleBytesMax} are read` });
    }
    if (size < shortestBytes) [shortestBytes, shortestRow] = [size, row];
    if (end - unit.startByte > unitBytes) close();
    unit.rows++;
    start = end;
  }
  close();
  return result();
}
