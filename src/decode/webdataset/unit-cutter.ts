/**
 * Cuts a tar into units of whole samples, and these into stretches that can be read alone.
 *
 *   │a.txt a.json│b.txt b.json … │   │c.mp4 header│ c.mp4's body │c.txt d.mp4 header│ …
 *   └ stretch ──────────────────┘    └ stretch ───┘ (jumped)     └ stretch ─────────┘   (begins within c)
 */
import { LIMITS } from '../../config/limits.js';
import type { Unit } from '../../core/shard.js';
import type { TarUnitLayout } from './layout.js';
import { padded } from './tar-entry.js';
import { isJumped, IS_MEMBER, IS_WANTED, STARTS_SAMPLE } from './scan-headers.js';

interface OpenUnit {
  readonly startRow: number;
  rows: number;
  wantedBytes: number;
  /** Of the stretches that are closed. */
  readBytes: number;
  /** Of the last stretch that is closed. */
  endByte: number;
  readonly layout: TarUnitLayout;
}

interface OpenStretch {
  readonly startByte: number;
  starts: number;
}

export class UnitCutter {
  readonly #units: Unit[] = [];
  #rows = 0;
  #unit: OpenUnit | undefined;
  #stretch: OpenStretch | undefined;
  /** Of the last entry. */
  #endByte = 0;
  readonly #mayStart: (byte: number) => boolean;

  /** `mayStart`: whether a unit may begin at a byte. A unit goes on until another may. */
  constructor(mayStart: (byte: number) => boolean = () => true) {
    this.#mayStart = mayStart;
  }

  get rows(): number {
    return this.#rows;
  }

  /** The next entry of the archive: where its headers start, its body, how long that is, and the flags of scan-headers.ts. */
  add(startByte: number, bodyByte: number, size: number, flags: number): void {
    if ((flags & STARTS_SAMPLE) !== 0) this.#startSample(startByte);
    this.#endByte = padded(bodyByte + size);
    if (this.#unit === undefined) return; // nothing of a sample was before it
    // what follows a jump and is of no sample is not read
    if (this.#stretch === undefined && (flags & IS_MEMBER) === 0) return;
    this.#stretch ??= this.#openStretch(this.#unit, startByte, true);
    if ((flags & STARTS_SAMPLE) !== 0) this.#stretch.starts++;
    const isWanted = (flags & IS_WANTED) !== 0;
    const jumped = isJumped(size, isWanted);
    if (isWanted && !jumped) this.#unit.wantedBytes += size;
    if (jumped) this.#closeStretch(bodyByte);
  }

  finish(): readonly Unit[] {
    this.#closeUnit(this.#endByte);
    return this.#units;
  }

  #startSample(startByte: number): void {
    const unit = this.#unit;
    const stretchBytes = this.#stretch === undefined ? 0 : startByte - this.#stretch.startByte;
    const isFull =
      unit !== undefined &&
      (unit.wantedBytes >= LIMITS.tarUnitBytes ||
        unit.readBytes + stretchBytes >= LIMITS.tarUnitReadBytes ||
        unit.layout.starts.length >= LIMITS.tarUnitStretchesMax);
    if (isFull && this.#mayStart(startByte)) this.#closeUnit(startByte);
    else if (stretchBytes >= (isFull ? LIMITS.tarLongStretchBytes : LIMITS.tarStretchBytes)) this.#closeStretch(startByte);
    this.#unit ??= {
      startRow: this.#rows,
      rows: 0,
      wantedBytes: 0,
      readBytes: 0,
      endByte: startByte,
      layout: { startByte, spans: [], starts: [], within: [] },
    };
    this.#stretch ??= this.#openStretch(this.#unit, startByte, false);
    this.#unit.rows++;
    this.#rows++;
  }

  #openStretch({ layout, readBytes, endByte }: OpenUnit, startByte: number, within: boolean): OpenStretch {
    if (readBytes > 0) layout.spans.push(startByte - endByte);
    layout.within.push(within ? 1 : 0);
    return { startByte, starts: 0 };
  }

  #closeStretch(endByte: number): void {
    if (this.#unit === undefined || this.#stretch === undefined) return;
    this.#unit.layout.spans.push(endByte - this.#stretch.startByte);
    this.#unit.layout.starts.push(this.#stretch.starts);
    this.#unit.readBytes += endByte - this.#stretch.startByte;
    this.#unit.endByte = endByte;
    this.#stretch = undefined;
  }

  #closeUnit(endByte: number): void {
    this.#closeStretch(endByte);
    if (this.#unit === undefined) return;
    const { startRow, rows, wantedBytes, readBytes, layout } = this.#unit;
    this.#units.push({ startRow, rows, decodedBytes: wantedBytes, storedBytes: readBytes, layout });
    this.#unit = undefined;
  }
}
