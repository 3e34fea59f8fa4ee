/** How the documents of a window become sequences, with all that this needs to know: what the configuration says, and a worker does. */
export type Packing =
  | { readonly kind: 'concat' }
  /** `groupTokens`: documents are fitted together until they have this many tokens. */
  | { readonly kind: 'best-fit'; readonly groupTokens: number }
  /** `long`: a document that is longer than a sequence goes on in the next ones, or loses its rest. */
  | { readonly kind: 'pad'; readonly long: 'split' | 'truncate' }
  | { readonly kind: 'none' };
