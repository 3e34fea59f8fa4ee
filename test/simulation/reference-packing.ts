/** How documents become sequences, of the reference model: what docs/packing.md says. It shares no code with the product. */
import { permuted, range } from './reference-permutation.js';
import type { Document, ReferencePlan, Segment } from './reference-types.js';

/** Best fit decreasing of one packing group: into the sequence with the least room that is enough; of several, the one that got this room last. */
function fit(pieces: readonly Segment[], length: number): Segment[][] {
  const all: { members: number[]; room: number; touched: number }[] = [];
  const turns = permuted(['packing'], range(pieces.length)).sort((a, b) => pieces[b][4] - pieces[a][4]);
  for (const [touched, piece] of turns.entries()) {
    const fitting = all.filter(({ room }) => room >= pieces[piece][4]).sort((a, b) => a.room - b.room || b.touched - a.touched);
    const sequence = fitting.at(0) ?? { members: [], room: length, touched };
    if (fitting.length === 0) all.push(sequence);
    Object.assign(sequence, { members: [...sequence.members, piece], room: sequence.room - pieces[piece][4], touched });
  }
  // a sequence stands where its opener stands; pieces in it in order of place
  return all.sort((a, b) => a.members[0] - b.members[0]).map(({ members }) => members.sort((a, b) => a - b).map((piece) => pieces[piece]));
}

/** The sequences of a window, and how many of its documents are behind after the last of them. */
export function pack(
  documents: readonly Document[],
  index: number,
  { packing, length }: ReferencePlan,
): { sequences: Segment[][]; behind: number } {
  const piece = ([shard, row, tokens]: Document, start: number, take: number): Segment => [index, shard, row, start, take, (start === 0 ? 1 : 0) | (start + take === tokens ? 2 : 0)]; // prettier-ignore
  const pieces = (own: Document): Segment[] => range(Math.ceil(own[2] / length)).map((i) => piece(own, i * length, Math.min(length, own[2] - i * length))); // prettier-ignore
  const filled = documents.findLastIndex(([, , tokens]) => tokens > 0) + 1;
  if (packing === 'samples')
    return { sequences: documents.map((own) => [piece(own, 0, Math.min(length, own[2]))]), behind: documents.length };
  if (packing === 'truncate') return { sequences: documents.flatMap((own) => pieces(own).slice(0, 1)).map((own) => [own]), behind: filled };
  if (packing === 'split' || packing === 'none') return { sequences: documents.flatMap(pieces).map((own) => [own]), behind: filled };
  const sequences: Segment[][] = [];
  if (packing === 'concat') {
    let at = 0;
    for (const own of documents) {
      for (let start = 0, take = 0; start < own[2]; [start, at] = [start + take, at + take]) {
        take = Math.min(length - (at % length), own[2] - start);
        if (at % length === 0) sequences.push([]);
        sequences.at(-1)!.push(piece(own, start, take));
      }
    }
    return { sequences, behind: at % length > 0 ? documents.length : filled };
  }
  let behind = 0;
  for (let start = 0, end = 0; start < documents.length; start = end) {
    for (let tokens = 0; end < documents.length && tokens < packing.groupTokens; end++) tokens += documents[end][2];
    const own = documents.slice(start, end).flatMap(pieces);
    sequences.push(...fit(own, length));
    if (own.length > 0) behind = end;
  }
  return { sequences, behind };
}
