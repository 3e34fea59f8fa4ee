/**
 * Samples: a row is a sequence, whatever it holds. Its tokens are padded, or lose what does not fit; its fields go with it, and with each of the samples that
 * a transform made of it.
 *
 *   rows      aaa 🖼   · 🖼   bbbbb 🖼   cc|d 🖼          length 4
 *   samples   aaa· 🖼 | ···· 🖼 | bbbb 🖼 | cc·· 🖼 | d··· 🖼
 */
import { LIMITS } from '../config/limits.js';
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import type { SequenceWriter } from './sequence-writer.js';

export const samplePacker: Packer = {
  pack: (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    if (documents.samples === undefined) throw new Error('documents that are no samples');
    let { document, token: done } = from;
    const hasRoom = (): boolean => !writer.isFull && writer.fieldBytes < LIMITS.chunkFieldBytes;
    while (hasRoom() && document < documents.count) {
      const samples = documents.samples(document);
      while (hasRoom() && done < samples.length) {
        writer.addSample(document, samples[done++]);
        writer.finish(done < samples.length ? { document, token: done } : { document: document + 1, token: 0 });
      }
      if (done < samples.length) break;
      document++;
      done = 0;
    }
    return { document, token: done };
  },
};
