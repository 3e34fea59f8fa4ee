/** Packing in the reference: what docs/packing.md says of each way, for the documents of one window. Shares no code with the product. */
import { permutation, range } from './reference-order.js';

/** A document of `tokens` tokens. */
export type Document = readonly [shard: number, row: number, tokens: number];
/** As in a batch: source, shard, row, first token, tokens, flags (1: the document's first token is in it, 2: its last). */
export type Segment = readonly number[];
export type Packing = 'concat' | 'split' | 'truncate' | 'none' | 'samples' | { readonly groupTokens: number };

const cut = (index: number, [shard, row, tokens]: Document, length: number): Segment[] =>
  range(Math.ceil(tokens / length)).map((i) => {
    const take = Math.min(length, tokens - i * length);
    return [index, shard, row, i * length, take, (i === 0 ? 1 : 0) | (i * length + take === tokens ? 2 : 0)];
  });

/** Best fit decreasing of one packing group: into the sequence with the least room that is enough; of several, the one that got this room last. */
function fit(pieces: readonly Segment[], length: number): Segment[][] {
  const turns = permutation(['packing'], pieces.length).sort((a, b) => pieces[b][4] - pieces[a][4]);
  const all: { readonly members: number[]; room: number; touched: number }[] = [];
  for (const [touched, piece] of turns.entries()) {
    const fitting = all.filter(({ room }) => room >= pieces[piece][4]).sort((a, b) => a.room - b.room || b.touched - a.touched);
    const sequence = fitting.length > 0 ? fitting[0] : { members: [], room: length, touched };
    if (fitting.length === 0) all.push(sequence);
    sequence.members.push(piece);
    sequence.room -= pieces[piece][4];
    sequence.touched = touched;
  }
  // a sequence stands where its opener stands; pieces in it in order of place
  return all.sort((a, b) => a.members[0] - b.members[0]).map(({ members }) => members.sort((a, b) => a - b).map((piece) => pieces[piece]));
}

/** The sequences of a window, and how many of its documents are behind after the last of them. */
export function pack(
  documents: readonly Document[],
  index: number,
  packing: Packing,
  length: number,
): { sequences: Segment[][]; behind: number } {
  const filled = documents.findLastIndex(([, , tokens]) => tokens > 0) + 1;
  if (packing === 'concat') {
    const sequences: Segment[][] = [];
    let room = 0;
    for (const [shard, row, tokens] of documents) {
      for (let start = 0, take = 0; start < tokens; start += take) {
        if (room === 0) [room] = [length, sequences.push([])];
        take = Math.min(room, tokens - start);
        sequences.at(-1)!.push([index, shard, row, start, take, (start === 0 ? 1 : 0) | (start + take === tokens ? 2 : 0)]);
        room -= take;
      }
    }
    return { sequences, behind: room > 0 ? documents.length : filled };
  }
  if (packing === 'samples') {
    const whole = documents.map(([shard, row, tokens]): Segment => {
      const take = Math.min(length, tokens);
      return [index, shard, row, 0, take, 1 | (take === tokens ? 2 : 0)];
    });
    return { sequences: whole.map((segment) => [segment]), behind: documents.length };
  }
  if (typeof packing === 'string') {
    const pieces = documents.map((document) => cut(index, document, length));
    return { sequences: pieces.flatMap((own) => (packing === 'truncate' ? own.slice(0, 1) : own)).map((piece) => [piece]), behind: filled };
  }
  const sequences: Segment[][] = [];
  let [start, behind] = [0, 0];
  while (start < documents.length) {
    let [end, tokens] = [start, 0];
    while (end < documents.length && tokens < packing.groupTokens) tokens += documents[end++][2];
    sequences.push(...fit(documents.slice(start, end).flatMap((document) => cut(index, document, length)), length)); // prettier-ignore
    if (tokens > 0) behind = end;
    start = end;
  }
  return { sequences, behind };
}
