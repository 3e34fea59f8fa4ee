/**
 * Samples: a row is a sequence, whatever it holds. Its tokens are padded, or lose what does not fit; its fields go with it.
 *
 *   rows      aaa 🖼   · 🖼   bbbbb 🖼          length 4
 *   samples   aaa· 🖼 | ···· 🖼 | bbbb 🖼
 */
import { LIMITS } from '../config/limits.js';
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import type { SequenceWriter } from './sequence-writer.js';

export const samplePacker: Packer = {
  pack: (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    if (documents.sample === undefined) throw new Error('documents that are no samples');
    let { document } = from;
    while (!writer.isFull && writer.fieldBytes < LIMITS.chunkFieldBytes && document < documents.count) {
      const sample = documents.sample(document);
      if (sample !== undefined) {
        writer.addSample(document, sample);
        writer.finish({ document: document + 1, token: 0 });
      }
      document++;
    }
    return { document, token: 0 };
  },
};
