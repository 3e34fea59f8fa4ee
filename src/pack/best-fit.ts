/**
 * Packing by best fit: the documents of a packing group are put together so that sequences are as full as they can be, and only documents that are longer than
 * a sequence are cut. Group follows group, to the end of the window; only sequences that nothing of their group fits into are padded.
 */
import type { DocumentSource, Packer, PackPosition } from './packer.js';
import { readPackingGroup, type PackingGroup } from './packing-group.js';
import type { SequenceWriter } from './sequence-writer.js';

/** For the documents of one window: it keeps the group that it is in, so that a group which is asked for in portions is read once. */
export function createBestFitPacker(groupTokens: number): Packer {
  let kept: PackingGroup | undefined;

  const groupAt = (documents: DocumentSource, startDocument: number, length: number): PackingGroup => {
    if (kept?.startDocument !== startDocument) kept = readPackingGroup(documents, startDocument, length, groupTokens);
    return kept;
  };

  const pack = (documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition => {
    let { document, token } = from;
    while (!writer.isFull && document < documents.count) {
      const group = groupAt(documents, document, writer.length);
      if (token < group.fitted.sequences) addSequence(group, token++, writer);
      if (token >= group.fitted.sequences) {
        // a position has one form only: the end of a group is the start of the next
        document = group.endDocument;
        token = 0;
        kept = undefined;
      }
      if (writer.filled > 0) writer.finish({ document, token });
    }
    return { document, token };
  };
  return { pack };
}

function addSequence(group: PackingGroup, sequence: number, writer: SequenceWriter): void {
  const { startDocument, ids, documentBounds, documentEnds, pieceDocuments, pieceStarts, pieceSizes, fitted } = group;
  for (let i = fitted.bounds[sequence]; i < fitted.bounds[sequence + 1]; i++) {
    const piece = fitted.pieces[i];
    const document = pieceDocuments[piece];
    const tokens = ids.subarray(documentBounds[document], documentBounds[document + 1]);
    writer.add(startDocument + document, tokens, pieceStarts[piece], pieceSizes[piece], documentEnds[document]);
  }
}
