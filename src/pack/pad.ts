/**
 * Packing by padding: one document a sequence. A longer one goes on in sequences of its own (`split`), or loses what does not fit (`truncate`).
 *
 *   documents   aaaaaaa bbb          length 4
 *   split       aaaa | aaa· | bbb·
 *   truncate    aaaa | bbb·          three tokens are dropped, and counted
 */
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import type { SequenceWriter } from './sequence-writer.js';

export function createPadPacker(long: 'split' | 'truncate'): Packer {
  const pack = (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    let { document, token } = from;
    while (!writer.isFull && document < documents.count) {
      const tokens = documents.tokens(document);
      const take = Math.min(writer.length, tokens.length - token);
      if (take > 0) writer.add(document, tokens, token, take);
      token += take;
      if (long === 'truncate') {
        writer.drop(tokens.length - token);
        token = tokens.length;
      }
      if (token >= tokens.length) {
        document++;
        token = 0;
      }
      if (writer.filled > 0) writer.finish({ document, token });
    }
    return { document, token };
  };
  return { pack };
}
