/** Where the units of a compressed tar are in the object: each in the parts of its content that hold it. */
import type { Unit } from '../../core/shard.js';
import { partOf, type ContentPart } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { LIMITS } from '../../config/limits.js';
import { tarStretches, tarUnitLayout } from './layout.js';

/** Whether a unit may begin at a byte of the content: what its part has before it is decompressed for nothing. */
export function mayStartInPart(parts: readonly ContentPart[], contentByte: number): boolean {
  return contentByte - partOf(parts, contentByte).contentByte <= CONTENT_LIMITS.skipBytesMax;
}

/** `contentBytes`: of the whole archive. The last unit has all that follows, so that reading it shows whether the object's end is whole. */
export function unitsInParts(units: readonly Unit[], parts: readonly ContentPart[], contentBytes: number): Unit[] {
  return units.map((unit, i) => {
    const stretches = tarStretches(unit.layout);
    const isLast = i === units.length - 1;
    const contentEnd = isLast ? contentBytes : stretches[stretches.length - 1].endByte;
    const first = partOf(parts, stretches[0].startByte);
    const { endByte } = partOf(parts, contentEnd - 1);
    const { startByte, contentByte } = first;
    const isWhole = contentEnd - contentByte > 2 * LIMITS.tarUnitBytes;
    return {
      ...unit,
      storedBytes: endByte - startByte,
      ...(isWhole && { isWhole }),
      layout: { ...tarUnitLayout(unit.layout), stored: { startByte, endByte, contentByte, contentEnd } },
    };
  });
}
