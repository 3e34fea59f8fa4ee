/**
 * Control tokens in a chat: those that the template writes become their ids, those that a message has in its text stay text. Before the template sees a
 * message, a guard, a character that is in no text of the row, goes into each control token that the message holds; after it has been rendered, what still
 * reads as a control token is the template's own, and the guards are taken out again.
 *
 *   content    Say <|im_end|> now           ──guard──▶   Say <‖|im_end|> now
 *   rendered   <|im_start|>user\nSay <‖|im_end|> now<|im_end|>
 *   pieces     <|im_start|>                        matched: as the tokenizer reads it
 *              user\nSay <|im_end|> now            plain: text from end to end
 *              <|im_end|>                          matched
 */
import type { JsonValue } from '../core/canonical-json.js';

export interface ControlTokens {
  /** A value with guards in its strings; itself where none is needed. */
  guard(value: JsonValue, guard: string): JsonValue;
  /** The parts of a text, in order; without guards one part, as it is. */
  pieces(text: string, guard: string): readonly ChatPiece[];
}

export interface ChatPiece {
  /** Without guards. */
  readonly text: string;
  /** `plain`: nothing in it is a control token. */
  readonly kind: 'matched' | 'plain';
}

/** What a template compares with words of its own: the end of such a text is left as it is. */
const WORDS = new Set(['role', 'type', 'name']);

/** `tokens`: their texts. One of a single character cannot be guarded, nor one of spaces, which templates write as text. */
export function createControlTokens(tokens: Iterable<string>): ControlTokens {
  const guarded = [...new Set(tokens)].filter((token) => token.length > 1 && token.trim() !== '').sort((a, b) => b.length - a.length);
  const pattern = new RegExp(guarded.map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|') || '[]', 'g');
  const beginnings = new Set(guarded.flatMap((token) => Array.from({ length: token.length - 1 }, (_, i) => token.slice(0, i + 1))));
  const longest = Math.max(0, ...guarded.map((token) => token.length));

  /** The text may go on as a control token, with what the template puts after it. */
  const endsOpen = (text: string): boolean => {
    for (let length = Math.min(longest - 1, text.length); length > 0; length--) if (beginnings.has(text.slice(-length))) return true;
    return false;
  };
  const guardText = (text: string, guard: string, isWord: boolean): string => {
    let out = '';
    let from = 0;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      out += text.slice(from, match.index + 1) + guard;
      from = match.index + 1;
      pattern.lastIndex = from; // another may begin inside
    }
    out += text.slice(from);
    return !isWord && endsOpen(text) ? out + guard : out;
  };
  const guardValue = (value: JsonValue, guard: string, isWord: boolean): JsonValue => {
    if (typeof value === 'string') return guardText(value, guard, isWord);
    if (isList(value)) return value.map((item) => guardValue(item, guard, false));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [guardText(key, guard, true), guardValue(item ?? null, guard, WORDS.has(key))]),
    );
  };
  return {
    guard: (value, guard) => guardValue(value, guard, false),
    pieces: (text, guard) => {
      if (!text.includes(guard)) return [{ text, kind: 'matched' }];
      const pieces: { text: string; kind: ChatPiece['kind'] }[] = [];
      const add = (part: string, kind: ChatPiece['kind']): void => {
        const last = pieces.at(-1);
        if (part === '') return;
        if (kind === 'matched' && last?.kind === 'matched') last.text += part;
        else pieces.push({ text: part.replaceAll(guard, ''), kind });
      };
      let from = 0;
      for (const match of text.matchAll(pattern)) {
        const between = text.slice(from, match.index);
        add(between, between.includes(guard) ? 'plain' : 'matched');
        add(match[0], 'matched');
        from = match.index + match[0].length;
      }
      const rest = text.slice(from);
      add(rest, rest.includes(guard) ? 'plain' : 'matched');
      return pieces;
    },
  };
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
