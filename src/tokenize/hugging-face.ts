/** The slow path: Hugging Face's own tokenizer in JavaScript. It knows every model type, at 0.3–0.5 M tokens/s a core. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { HeadraceError } from '../core/errors.js';
import type { TokenizerJson } from './bpe/tokenizer-json.js';
import type { DocumentEncoder, TokenizedDocuments, TokenizerOptions } from './tokenizer.js';

/** What is used of the package, whose own types do not resolve under Node's module rules. */
export interface HuggingFace {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
  decode(
    ids: readonly number[],
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  get_vocab(withAddedTokens: boolean): ReadonlyMap<string, number>;
}
const HuggingFaceConstructor = HuggingFaceTokenizer as unknown as new (tokenizer: object, config: object) => HuggingFace;

/** Throws what the package throws where `json` is no tokenizer. */
export function openHuggingFace(json: object): HuggingFace {
  return new HuggingFaceConstructor(json, {});
}

/** `specialTokens: plain` takes the special tokens out of the file: then they are text like any other. */
export function createHuggingFaceEncoder(json: TokenizerJson, specialTokens: TokenizerOptions['specialTokens']): DocumentEncoder {
  const added = (json.added_tokens ?? []).filter((token) => specialTokens === 'match' || !token.special);
  const tokenizer = openHuggingFace({ ...json, added_tokens: added });
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let ids = new Int32Array(4096);
  return {
    encodeBatch: (bytes, bounds): TokenizedDocuments => {
      const documents = bounds.length - 1;
      const idBounds = new Int32Array(documents + 1);
      let length = 0;
      for (let document = 0; document < documents; document++) {
        const text = decoder.decode(bytes.subarray(bounds[document], bounds[document + 1]));
        const encoded = text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids;
        if (length + encoded.length > ids.length) ids = grown(ids, length + encoded.length);
        // the package answers `undefined` for a part that it has no id for, which an Int32Array would hold as 0
        if (!encoded.every((id) => Number.isInteger(id))) throw unknownPart(text);
        ids.set(encoded, length);
        length += encoded.length;
        idBounds[document + 1] = length;
      }
      return { ids: ids.subarray(0, length), bounds: idBounds };
    },
  };
}

function unknownPart(text: string): HeadraceError {
  return new HeadraceError('TOKENIZER_INVALID', `the tokenizer has no id for a part of the text ${JSON.stringify(text.slice(0, 80))}`, {
    hint: 'Its file has no token for what is unknown, or one that the Hugging Face package does not find: mend the file, or use another tokenizer.',
  });
}

function grown(ids: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(length, 2 * ids.length));
  larger.set(ids);
  return larger;
}
