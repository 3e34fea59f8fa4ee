/** How the documents of a window become sequences, with all that this needs to know: what the configuration says, and a worker does. */
export type Packing =
  | { readonly kind: 'concat' }
  /** `groupTokens`: documents are fitted together until they have this many tokens. */
  | { readonly kind: 'best-fit'; readonly groupTokens: number }
  /** `long`: a document that is longer than a sequence goes on in the next ones, or loses its rest. */
  | { readonly kind: 'pad'; readonly long: 'split' | 'truncate' }
  | { readonly kind: 'none' }
  /** A row is a sample: one sequence, with its fields, whatever tokens it has. */
  | { readonly kind: 'samples' };

/** What a sequence of `length` tokens counts for at most in mixtures and cursors: its tokens, and a sample for one. */
export function countedLength({ kind }: Packing, length: number): number {
  return kind === 'samples' ? 1 : length;
}
