/** What the reference model is given, and what it makes. */

export interface ReferenceSource {
  readonly name: string;
  readonly weight: number;
  readonly epochs: number | undefined;
  readonly maxTokens: number | undefined;
  readonly whenUsedUp: 'drop' | 'stop' | 'repeat';
  /** By shard and row group: its decoded bytes, and the tokens of each row. */
  readonly shards: readonly (readonly { readonly bytes: number; readonly rows: readonly number[] }[])[];
}
/** `shuffleBlocks: 0`: file order. `changes`: of weights, scheduled and live. `sources`: in order of name. */
export interface ReferencePlan extends Readonly<Record<'seed' | 'lanes' | 'batch' | 'length' | 'shuffleBlocks' | 'windowBytes', number>> {
  readonly last: 'drop' | 'pad';
  readonly packing: 'concat' | 'split' | 'truncate' | 'none' | 'samples' | { readonly groupTokens: number };
  readonly changes: readonly { readonly at: number; readonly ramp: number; readonly weights: Readonly<Record<string, number>> }[];
  readonly sources: readonly ReferenceSource[];
}
/** As in a batch: source, shard, row, first token, tokens, flags (1: the document's first token is in it, 2: its last). */
export type Segment = readonly number[];
export type Document = readonly [shard: number, row: number, tokens: number];
