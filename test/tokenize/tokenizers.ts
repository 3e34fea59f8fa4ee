/** The tokenizer files that the product is held to, and the one place where these tests make a product's tokenizer. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseTokenizer } from '../../src/tokenize/load-tokenizer.js';
import type { Tokenizer } from '../../src/tokenize/tokenizer.js';

/** Packages of these names, `@lenml/tokenizer-…`, carry a `tokenizer.json`. */
const NAMES = ['gpt2', 'gpt35turbo', 'gpt4o', 'gptoss', 'llama3', 'qwen3', 'deepseek_v3', 'llama2', 'gemma2', 'gemma3'] as const;

/** How special tokens in a document are read: as the text they are (the product's default), or as the tokens. Added tokens that are not special are always tokens. */
export type SpecialTokens = 'plain' | 'match';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly normalized: boolean;
}

/** A tokenizer.json, and what these tests read of it. */
export interface TokenizerFile {
  readonly name: string;
  readonly path: string;
  readonly added: readonly AddedToken[];
  /** Whether the tokens of the vocabulary are written in the byte alphabet of GPT-2; otherwise as text, with ▁ for a space and <0x0A> for a byte. */
  readonly byteLevel: boolean;
  /** The vocabulary by id, added tokens included: as the file writes them. */
  readonly tokens: readonly (string | undefined)[];
}

/** The repository, from a source as from what was built of it. */
export const ROOT = rootAbove(import.meta.dirname);

function rootAbove(dir: string): string {
  return existsSync(path.join(dir, 'package.json')) ? dir : rootAbove(path.dirname(dir));
}

/** `selected`: names, comma-separated; without it all of them. Throws where a name is unknown. */
export function tokenizerNames(selected: string | undefined): readonly string[] {
  if (selected === undefined || selected === '') return NAMES;
  const names = selected.split(',');
  const unknown = names.filter((name) => !(NAMES as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`no tokenizer is called ${unknown.join(', ')}: there are ${NAMES.join(', ')}`);
  return names;
}

/** GPT-2's is installed with everything; the others are in a package of their own (test/tokenizers). */
export function tokenizerPath(name: string): string {
  const installed = name === 'gpt2' ? ROOT : path.join(ROOT, 'test', 'tokenizers');
  return path.join(installed, 'node_modules', '@lenml', `tokenizer-${name}`, 'models', 'tokenizer.json');
}

export function readTokenizerFile(name: string): TokenizerFile {
  const file = tokenizerPath(name);
  const json = JSON.parse(readFileSync(file, 'utf8')) as {
    readonly model: { readonly vocab: Readonly<Record<string, number>> };
    readonly pre_tokenizer: unknown;
    readonly added_tokens: readonly AddedToken[];
  };
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token;
  for (const { id, content } of json.added_tokens) tokens[id] = content;
  return {
    name,
    path: file,
    added: json.added_tokens,
    byteLevel: JSON.stringify(json.pre_tokenizer).includes('"ByteLevel"'),
    tokens,
  };
}

/** The bytes that GPT-2's alphabet writes as themselves; the others, in order, are U+0100 and on. */
const PRINTABLE = new Set([...between(0x21, 0x7e), ...between(0xa1, 0xac), ...between(0xae, 0xff)]);
const BYTE_OF = new Map([
  ...Array.from(PRINTABLE, (byte) => [byte, byte] as const),
  ...between(0, 0xff)
    .filter((byte) => !PRINTABLE.has(byte))
    .map((byte, i) => [0x100 + i, byte] as const),
]);

function between(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** The text of a token; of one that is a part of a character, U+FFFD. */
export function decodeToken({ tokens, byteLevel }: TokenizerFile, id: number): string {
  const token = tokens[id] ?? '';
  if (!byteLevel) return token.replaceAll('▁', ' ');
  return Buffer.from(Array.from(token, (letter) => BYTE_OF.get(letter.codePointAt(0) ?? 0) ?? 0x3f)).toString('utf8');
}

/** What the product may be asked for. A product that knows nothing of special tokens matches them. */
type Parse = (bytes: Uint8Array, file: string, options: { readonly specialTokens: SpecialTokens }) => Tokenizer;
const parse: Parse = parseTokenizer;

/** A new tokenizer of the product, with nothing encoded before. */
export function createTokenizer(file: TokenizerFile, specialTokens: SpecialTokens): Tokenizer {
  return parse(readFileSync(file.path), file.path, { specialTokens });
}
