/** Finds added tokens in text: the leftmost, and of those the longest. */
import type { AddedToken } from './tokenizer-json.js';

export type Segment = { readonly text: string } | { readonly id: number };

/** Splits text at the tokens; segments are never empty. */
export function createAddedTokenSplitter(tokens: readonly AddedToken[]): (text: string) => Segment[] {
  if (tokens.length === 0) return (text) => (text === '' ? [] : [{ text }]);
  const ids = new Map(tokens.map(({ content, id }) => [content, id]));
  const longestFirst = [...ids.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'gu');
  return (text) => {
    const segments: Segment[] = [];
    let at = 0;
    for (const match of text.matchAll(pattern)) {
      if (match.index > at) segments.push({ text: text.slice(at, match.index) });
      segments.push({ id: ids.get(match[0]) ?? 0 });
      at = match.index + match[0].length;
    }
    if (at < text.length) segments.push({ text: text.slice(at) });
    return segments;
  };
}
