/**
 * Packing by concatenation: documents one after the other, cut at the sequence's length; the cut document goes on in the next sequence.
 *
 *   documents   aaaaaaa bbb cccccccccc          length 4
 *   sequences   aaaa | aaab | bbcc | cccc | cccc · only a window's last one is padded
 */
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import type { SequenceWriter } from './sequence-writer.js';

export const concatPacker: Packer = {
  pack: (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    let { document, token } = from;
    while (!writer.isFull) {
      while (writer.filled < writer.length && document < documents.count) {
        const tokens = documents.tokens(document);
        const take = Math.min(writer.length - writer.filled, tokens.length - token);
        if (take > 0) writer.add(document, tokens, token, take, documents.ends?.(document));
        token += take;
        if (token === tokens.length) {
          document++;
          token = 0;
        }
      }
      if (writer.filled === 0) break;
      writer.finish({ document, token });
    }
    return { document, token };
  },
};
