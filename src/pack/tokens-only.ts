/** Packs nothing: asks for the tokens of every document, for whoever keeps them. A window is one portion of work. */
import type { Packer } from './packer.js';

export const tokensOnlyPacker: Packer = {
  pack: (documents, { document: first }) => {
    for (let document = first; document < documents.count; document++) documents.tokens(document);
    return { document: documents.count, token: 0 };
  },
};
