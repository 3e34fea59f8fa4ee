/** Text of data for a terminal: whatever could drive it, or change how a line reads, is written as an escape. */

/** Controls, format characters (bidirectional ones among them), separators of lines, lone surrogates, private and unassigned characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line, from which the text can be told: a backslash is two. */
export function printable(text: string): string {
  return escaped(text.replaceAll('\\', '\\\\'));
}

/** A message that may quote data, in lines of its own: what it says of paths and patterns stays as it is. */
export function printableMessage(text: string): string {
  return text.split('\n').map(escaped).join('\n');
}

function escaped(text: string): string {
  return text.replace(UNPRINTABLE, (character) => SHORT[character] ?? `\\u{${codePoint(character)}}`);
}

/** JSON that means the same, and may be seen in a terminal. */
export function printableJson(value: unknown): string {
  // JSON leaves these in strings only, and in strings they may be escaped
  return JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  );
}

function codePoint(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}
