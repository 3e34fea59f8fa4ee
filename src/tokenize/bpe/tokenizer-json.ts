/** The small parts of a Hugging Face `tokenizer.json`: scan-json.ts reads the vocabulary and the merges. Everything is input: a field may be missing or of another type. */

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** One step of a normalizer, pre-tokenizer or decoder; `type` says which. */
export interface Component {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface BpeModelJson {
  readonly type?: string;
  readonly dropout?: number | null;
  readonly unk_token?: string | null;
  readonly continuing_subword_prefix?: string | null;
  readonly end_of_word_suffix?: string | null;
  readonly byte_fallback?: boolean;
  readonly ignore_merges?: boolean;
}

export interface TokenizerJson {
  readonly added_tokens?: readonly AddedToken[];
  readonly normalizer?: Component | null;
  readonly pre_tokenizer?: Component | null;
  readonly decoder?: Component | null;
  readonly model: BpeModelJson;
}

/** The steps of a component, sequences of sequences made flat. */
export function stepsOf(
  component: Component | null | undefined,
  parts: 'normalizers' | 'pretokenizers' | 'decoders',
): readonly Component[] {
  if (component === null || component === undefined) return [];
  if (component.type !== 'Sequence') return [component];
  return (component[parts] as readonly Component[]).flatMap((part) => stepsOf(part, parts));
}
