/**
 * A packing group: consecutive documents of a window's order that are fitted together, read and cut into pieces. Where it starts says what it is.
 *
 *   documents   a: 9 tokens   b: 3   c: none   d: 5        length 4
 *   pieces      aaaa aaaa a | bbb | dddd d                  what is longer than a sequence is cut into full pieces, and a rest
 */
import { fitPieces, type FittedPieces } from './fit-pieces.js';
import type { DocumentSource } from './packer.js';

export interface PackingGroup {
  /** Documents [startDocument, endDocument) of the window. */
  readonly startDocument: number;
  readonly endDocument: number;
  /** The tokens of its documents, one after the other. */
  readonly ids: Int32Array;
  /** [documents + 1] places in `ids`. */
  readonly documentBounds: Int32Array;
  /** By piece: its document, counted in the group, and the token of the document that it starts with. */
  readonly pieceDocuments: Int32Array;
  readonly pieceStarts: Int32Array;
  readonly pieceSizes: Int32Array;
  /** By document, as of `DocumentSource`. */
  readonly documentEnds: readonly (Int32Array | undefined)[];
  readonly fitted: FittedPieces;
}

/** Reads documents until they have `groupTokens` tokens: at least one, and to the end of the window at most. */
export function readPackingGroup(documents: DocumentSource, startDocument: number, length: number, groupTokens: number): PackingGroup {
  let ids = new Int32Array(0);
  let filled = 0;
  let endDocument = startDocument;
  const documentBounds = [0];
  const documentEnds: (Int32Array | undefined)[] = [];
  while (endDocument < documents.count && filled < groupTokens) {
    const tokens = documents.tokens(endDocument);
    documentEnds.push(documents.ends?.(endDocument)?.slice());
    endDocument++;
    if (filled + tokens.length > ids.length) ids = grown(ids, filled, filled + tokens.length);
    ids.set(tokens, filled);
    filled += tokens.length;
    documentBounds.push(filled);
  }
  const cut = cutPieces(documentBounds, documentEnds, length);
  const pieceSizes = Int32Array.from(cut.sizes);
  return {
    startDocument,
    endDocument,
    ids,
    documentBounds: Int32Array.from(documentBounds),
    pieceDocuments: Int32Array.from(cut.documents),
    pieceStarts: Int32Array.from(cut.starts),
    pieceSizes,
    documentEnds,
    fitted: fitPieces(pieceSizes, length),
  };
}

/** In order of document and token; a document without tokens has none. Of a row that became several, each is cut by itself. */
function cutPieces(
  documentBounds: readonly number[],
  documentEnds: readonly (Int32Array | undefined)[],
  length: number,
): { documents: number[]; starts: number[]; sizes: number[] } {
  const documents: number[] = [];
  const starts: number[] = [];
  const sizes: number[] = [];
  for (let document = 0; document < documentBounds.length - 1; document++) {
    const tokens = documentBounds[document + 1] - documentBounds[document];
    let start = 0;
    for (const end of documentEnds[document] ?? [tokens]) {
      for (; start < end; start += length) {
        documents.push(document);
        starts.push(start);
        sizes.push(Math.min(length, end - start));
      }
      start = end;
    }
  }
  return { documents, starts, sizes };
}

function grown(ids: Int32Array, filled: number, least: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(2 * ids.length, least));
  larger.set(ids.subarray(0, filled));
  return larger;
}
