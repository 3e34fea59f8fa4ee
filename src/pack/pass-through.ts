/** Packing of what is packed: rows that are sequences of `length` ids already pass through as they are. That they are, whoever reads the rows has checked. */
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import type { SequenceWriter } from './sequence-writer.js';

export const passThroughPacker: Packer = {
  pack: (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    let { document } = from;
    while (!writer.isFull && document < documents.count) {
      const tokens = documents.tokens(document);
      if (tokens.length > 0) writer.add(document, tokens, 0, tokens.length);
      document++;
      if (writer.filled > 0) writer.finish({ document, token: 0 });
    }
    return { document, token: 0 };
  },
};
