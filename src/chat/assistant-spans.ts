/**
 * What the assistant says in a chat whose template does not mark it: found by rendering the beginnings of the chat.
 *
 *   whole                    <user>Hi<end>\n<assistant>Hello<end>\n<user>…
 *   before, with its prompt  <user>Hi<end>\n<assistant>                      the turn starts where this ends
 *   up to the turn           <user>Hi<end>\n<assistant>Hello<end>\n          it ends with its end-of-sequence token, or, without one, where this ends
 */
import type { TextSpan } from '../tokenize/tokenizer.js';

export interface Turns {
  readonly roles: readonly string[];
  /** The whole chat, rendered. */
  readonly whole: string;
  /** Renders the first messages; `withPrompt`: and what asks the assistant to go on. */
  readonly render: (messages: number, withPrompt: boolean) => string;
  /** The text of the end-of-sequence token. */
  readonly eos: string | undefined;
}

/** The spans, or what is in the way: a template whose beginnings are not the beginnings of the whole. */
export function assistantSpans({ roles, whole, render, eos }: Turns): readonly TextSpan[] | { readonly problem: string } {
  const turns = [...roles.keys()].filter((message) => roles[message] === 'assistant');
  const starts = turns.map((message) => render(message, true));
  const spans: TextSpan[] = [];
  for (const [i, message] of turns.entries()) {
    if (!whole.startsWith(starts[i])) return notABeginning(message);
    const start = starts[i].length;
    const upTo = render(message + 1, false);
    const isBeginning = upTo.length >= start && whole.startsWith(upTo);
    const bound = isBeginning ? upTo.length : i + 1 < turns.length ? starts[i + 1].length : whole.length;
    const eosAt = eos === undefined || eos === '' ? -1 : whole.indexOf(eos, start);
    if (eos !== undefined && eosAt >= 0 && eosAt + eos.length <= bound) spans.push({ start, end: eosAt + eos.length });
    else if (isBeginning) spans.push({ start, end: upTo.length });
    else return notABeginning(message);
  }
  return spans;
}

function notABeginning(message: number): { readonly problem: string } {
  return {
    problem: `cannot be masked: the template renders the messages up to message ${message} otherwise than as the beginning of the whole; mark what the assistant says in it ({% generation %})`,
  };
}
