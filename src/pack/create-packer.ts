/** The packer that a configuration asks for: one a window. */
import type { Packing } from '../core/packing.js';
import { createBestFitPacker } from './best-fit.js';
import { concatPacker } from './concat.js';
import { createPadPacker } from './pad.js';
import type { Packer } from './packer.js';
import { passThroughPacker } from './pass-through.js';
import { samplePacker } from './samples.js';

export function createPacker(packing: Packing): Packer {
  switch (packing.kind) {
    case 'concat':
      return concatPacker;
    case 'best-fit':
      return createBestFitPacker(packing.groupTokens);
    case 'pad':
      return createPadPacker(packing.long);
    case 'none':
      return passThroughPacker;
    case 'samples':
      return samplePacker;
  }
}
