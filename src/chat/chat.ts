/**
 * From a row with chat messages to token ids, in a worker: the messages are rendered with the template, and the text is tokenized; ids that do not count for
 * the loss have the bit `WITHOUT_LOSS`.
 *
 *   row ──messages──▶ guards ──template──▶ text, spans of the assistant ──tokenizer──▶ ids ──spans──▶ ids with their loss bits
 */
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import { messageOf } from '../core/errors.js';
import { WITHOUT_LOSS } from '../core/sequence.js';
import { tokensOfSpans } from '../tokenize/token-spelling.js';
import type { DocumentEncoder, TextSpan, TokenSpelling } from '../tokenize/tokenizer.js';
import { assistantSpans } from './assistant-spans.js';
import { createControlTokens } from './control-tokens.js';
import { compileTemplate, type RenderedChat } from './template.js';

/** Crosses to worker threads. */
export interface ChatSettings {
  /** The column of messages; the row's others are variables of the template. */
  readonly column: string;
  readonly template: string;
  /** `bos_token`, `eos_token` …, as the tokenizer's configuration has them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Of the tokenizer: what marks control. */
  readonly controlTokens: readonly string[];
  readonly loss: 'assistant' | 'all';
}

/** The same tokenizer, twice: one that matches special tokens, and one to which they are text. */
export interface ChatTokenizers {
  readonly matched: DocumentEncoder;
  readonly plain: DocumentEncoder;
  /** What its ids spell, where that is known. */
  readonly spelling: TokenSpelling | undefined;
}

/** The ids of a row, which the caller owns, or why it has none. */
export type EncodedRow = { readonly ids: Int32Array } | { readonly problem: string };

/** Characters that Unicode gives to programs for their own use: text that is exchanged has none. */
const NONCHARACTERS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));
/** Columns that templates expect as lists, and that data sets keep as JSON text. */
const JSON_COLUMNS = new Set(['tools', 'documents']);
/** Names under which data sets keep what a model thought. */
const REASONING = ['reasoning_content', 'thinking', 'reasoning'];

type Message = Readonly<Record<string, JsonValue | undefined>>;

/** Throws where the template is none. */
export function createChatEncoder(
  settings: ChatSettings,
  tokenizers: ChatTokenizers,
): (row: Readonly<Record<string, JsonValue>>) => EncodedRow {
  const { column, specialTokens, loss } = settings;
  const template = compileTemplate(settings.template);
  const control = createControlTokens(settings.controlTokens);
  const usable = NONCHARACTERS.filter((character) => !settings.template.includes(character));

  return (row) => {
    const messages = messagesOf(row[column]);
    if ('problem' in messages) return messages;
    const text = JSON.stringify([row, messages]);
    const free = usable.filter((character) => !text.includes(character));
    if (free.length < 3) return { problem: 'holds nearly every noncharacter from U+FDD0 to U+FDEF, and three are needed to render it' };
    const [guard, start, end] = free;
    const others = Object.entries(row).filter(([name]) => name !== column);
    const variables = Object.fromEntries(others.map(([name, value]) => [name, control.guard(parsedColumn(name, value), guard)]));
    const guarded = control.guard(withReasoning(messages.map(withoutNulls)), guard) as readonly JsonValue[];
    const render = (count: number, withPrompt: boolean): RenderedChat =>
      template.render(
        {
          tools: null,
          documents: null,
          ...specialTokens,
          ...variables,
          messages: guarded.slice(0, count),
          add_generation_prompt: withPrompt,
        },
        [start, end],
      );
    try {
      const whole = render(guarded.length, false);
      if (Buffer.byteLength(whole.text) > LIMITS.documentBytesMax)
        return { problem: `is rendered to more than ${LIMITS.documentBytesMax} bytes` };
      const spans = loss === 'all' ? undefined : spansOf(whole, messages, render);
      if (spans !== undefined && 'problem' in spans) return spans;
      return encode(whole.text, guard, spans);
    } catch (error) {
      return { problem: `cannot be rendered with its template: ${messageOf(error)}` };
    }
  };

  function spansOf(
    { text: whole, spans }: RenderedChat,
    messages: readonly Message[],
    render: (count: number, withPrompt: boolean) => RenderedChat,
  ): readonly TextSpan[] | { readonly problem: string } {
    if (spans !== undefined) return spans;
    return assistantSpans({
      roles: messages.map(({ role }) => (typeof role === 'string' ? role : '')),
      whole,
      render: (count, withPrompt) => render(count, withPrompt).text,
      eos: specialTokens.eos_token,
    });
  }

  /** `spans`: of the text with its guards; `undefined`: all of it counts. */
  function encode(text: string, guard: string, spans: readonly TextSpan[] | undefined): EncodedRow {
    const parts: Int32Array[] = [];
    let from = 0;
    const own = spans?.map(({ start, end }) => ({ start: withoutGuards(text, guard, start), end: withoutGuards(text, guard, end) }));
    for (const piece of control.pieces(text, guard)) {
      const bytes = Buffer.from(piece.text, 'utf8');
      const encoder = piece.kind === 'plain' ? tokenizers.plain : tokenizers.matched;
      const ids = encoder.encodeBatch(bytes, Int32Array.of(0, bytes.length)).ids.slice();
      if (own !== undefined) {
        const to = from + piece.text.length;
        const within = own
          .filter(({ start, end }) => start < to && end > from)
          .map(({ start, end }) => ({ start: Math.max(start, from) - from, end: Math.min(end, to) - from }));
        const found = tokenizers.spelling && tokensOfSpans(tokenizers.spelling, piece.text, ids, within);
        if (found === undefined) return { problem: 'cannot be masked: its tokens do not spell its text' };
        let next = 0;
        for (const { first, end } of [...found, { first: ids.length, end: ids.length }]) {
          for (let i = next; i < first; i++) ids[i] |= WITHOUT_LOSS;
          next = Math.max(next, end);
        }
        from = to;
      }
      parts.push(ids);
    }
    return { ids: joined(parts) };
  }
}

function withoutGuards(text: string, guard: string, position: number): number {
  let guards = 0;
  for (let at = text.indexOf(guard); at >= 0 && at < position; at = text.indexOf(guard, at + 1)) guards++;
  return position - guards;
}

/** A list of messages, or the JSON text of one. */
function messagesOf(value: JsonValue | undefined): readonly Message[] | { readonly problem: string } {
  const list = typeof value === 'string' ? parsed(value) : value;
  if (list === undefined && typeof value === 'string') return { problem: 'has messages that are not JSON' };
  if (!Array.isArray(list))
    return { problem: list === null || list === undefined ? 'has no messages' : 'has messages that are not a list' };
  const messages = list as readonly JsonValue[];
  const wrong = messages.findIndex((message) => !isMessage(message));
  if (wrong >= 0) return { problem: `has a message without a role: number ${wrong}` };
  return messages as readonly Message[];
}

function isMessage(value: JsonValue): value is Message {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'role' in value && typeof value.role === 'string';
}

function parsed(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

function parsedColumn(name: string, value: JsonValue): JsonValue {
  return typeof value === 'string' && JSON_COLUMNS.has(name) ? (parsed(value) ?? value) : value;
}

/** As transformers 5.23 has it: templates ask whether a message has `tool_calls`, which in a column of structs every message has. */
function withoutNulls(message: Message): Message {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
}

/** Under the names that templates read, as transformers has it. */
function withReasoning(messages: readonly Message[]): readonly JsonValue[] {
  return messages.map((message) => {
    const reasoning = REASONING.map((name) => message[name]).find((value) => value !== null && value !== undefined);
    return reasoning === undefined ? message : { thinking: reasoning, ...message, reasoning_content: reasoning };
  });
}

function joined(parts: readonly Int32Array[]): Int32Array {
  if (parts.length === 1) return parts[0];
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return ids;
}
