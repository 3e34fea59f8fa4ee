/**
 * Packing by padding: one document a sequence. A longer one goes on in sequences of its own (`split`), or loses what does not fit (`truncate`).
 *
 *   documents   aaaaaaa bbb          length 4
 *   split       aaaa | aaa· | bbb·
 *   truncate    aaaa | bbb·          three tokens are dropped, and counted
 */
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import { endOfDocument } from './row-documents.js';
import type { SequenceWriter } from './sequence-writer.js';

export function createPadPacker(long: 'split' | 'truncate'): Packer {
  const pack = (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    let { document, token } = from;
    while (!writer.isFull && document < documents.count) {
      const tokens = documents.tokens(document);
      const ends = documents.ends?.(document);
      const end = endOfDocument(ends, token, tokens.length);
      const take = Math.min(writer.length, end - token);
      if (take > 0) writer.add(document, tokens, token, take, ends);
      token += take;
      if (long === 'truncate') {
        writer.drop(end - token);
        token = end;
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
