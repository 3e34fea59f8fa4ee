/**
 * A chat template: Jinja, as models ship it, rendered without anything that could differ from run to run. `{% generation %}` … `{% endgeneration %}`, which
 * mark what the assistant says, become two marks in the text, and spans in the answer.
 */
import * as jinja from '@huggingface/jinja';
import type { JsonValue } from '../core/canonical-json.js';
import type { TextSpan } from '../tokenize/tokenizer.js';

/** What is used of the package, whose own types do not resolve under Node's module rules. */
interface Jinja {
  readonly tokenize: (template: string, options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean }) => object;
  readonly parse: (tokens: object) => object;
  readonly Environment: new () => { readonly set: (name: string, value: unknown) => unknown };
  readonly Interpreter: new (environment: object) => { readonly run: (program: object) => { readonly value: string } };
}
const { tokenize, parse, Environment, Interpreter } = jinja as unknown as Jinja;

export interface RenderedChat {
  readonly text: string;
  /** What the template marks as the assistant's; `undefined` where it has no marks. */
  readonly spans: readonly TextSpan[] | undefined;
}

export interface ChatTemplate {
  /** `marks`: two characters that are in neither the template nor the variables. Throws what the template raises, and what is wrong with it. */
  render(variables: Readonly<Record<string, JsonValue>>, marks: readonly [string, string]): RenderedChat;
}

const START = 'headrace_generation_start';
const END = 'headrace_generation_end';
/** A tag, with the spaces before it and the line's end after it, which blocks take with them. */
const GENERATION_TAG = /([ \t]*)\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}(\n?)/g;

/** Throws where it is no template. */
export function compileTemplate(source: string): ChatTemplate {
  const replaceTag = (
    _tag: string,
    before: string,
    left: string,
    isEnd: string | undefined,
    right: string,
    after: string,
    at: number,
  ): string => {
    // as an expression it would keep the spaces that a block does without
    const atLineStart = at === 0 || source[at - 1] === '\n';
    const kept = left === '' && atLineStart ? '' : before;
    const [open, close] = [left === '-' ? '{{-' : '{{', right === '-' ? '-}}' : '}}'];
    return `${kept}${open} ${isEnd === undefined ? START : END} ${close}${right === '' ? '' : after}`;
  };
  const marked = source.replace(GENERATION_TAG, replaceTag);
  const program = parse(tokenize(marked, { lstrip_blocks: true, trim_blocks: true }));
  rewriteStrips(program);
  rewritePrints(program);
  const hasMarks = marked !== source;
  return {
    render: (variables, marks) => {
      const environment = new Environment();
      for (const [name, value] of Object.entries({ ...GLOBALS, ...variables, [START]: marks[0], [END]: marks[1] }))
        environment.set(name, value);
      const { value } = new Interpreter(environment).run(program);
      return hasMarks ? withoutMarks(value, marks) : { text: value, spans: undefined };
    },
  };
}

/** No `strftime_now`: a text must not depend on the day. Templates that ask whether it is there have a date of their own. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: unknown): never => {
    throw new Error(String(message));
  },
  range: (start: number, end?: number, step = 1): number[] => {
    const [from, to] = end === undefined ? [0, start] : [start, end];
    return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
  },
  headrace_strip: (text: unknown, characters: unknown) => STRIPS.strip(text, characters),
  headrace_lstrip: (text: unknown, characters: unknown) => STRIPS.lstrip(text, characters),
  headrace_rstrip: (text: unknown, characters: unknown) => STRIPS.rstrip(text, characters),
};

/** Python's methods that take characters to strip, which the interpreter would not look at. */
const STRIPS: Readonly<Record<string, (text: unknown, characters: unknown) => string>> = {
  strip: (text, characters) => stripEnd(stripStart(String(text), String(characters)), String(characters)),
  lstrip: (text, characters) => stripStart(String(text), String(characters)),
  rstrip: (text, characters) => stripEnd(String(text), String(characters)),
};

function stripStart(text: string, characters: string): string {
  const points = Array.from(text);
  const first = points.findIndex((point) => !characters.includes(point));
  return first < 0 ? '' : points.slice(first).join('');
}

function stripEnd(text: string, characters: string): string {
  const points = Array.from(text);
  return points.slice(0, points.findLastIndex((point) => !characters.includes(point)) + 1).join('');
}

/** `x.lstrip(y)` becomes a call of a function of ours, with x and y. Changes the tree in place. */
function rewriteStrips(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  if (node instanceof Map || Array.isArray(node)) {
    for (const entry of node as Iterable<unknown>) rewriteStrips(entry);
    return;
  }
  for (const value of Object.values(node)) rewriteStrips(value);
  const { type, callee, args } = node as { type?: string; callee?: StripCallee; args?: unknown[] };
  if (type !== 'CallExpression' || callee?.type !== 'MemberExpression' || callee.computed !== false || args?.length !== 1) return;
  const method = callee.property?.value;
  if (method === undefined || !Object.hasOwn(STRIPS, method)) return;
  Object.assign(node, { callee: { type: 'Identifier', value: `${STRIP_PREFIX}${method}` }, args: [callee.object, ...args] });
}

interface StripCallee {
  readonly type: string;
  readonly computed?: boolean;
  readonly object?: unknown;
  readonly property?: { readonly value?: string };
}

const STRIP_PREFIX = 'headrace_';

/** Of expressions that a template prints, those that may be a boolean or none without a filter or a call; they are cheap to look at thrice. */
const SIMPLE_EXPRESSIONS: ReadonlySet<unknown> = new Set(['Identifier', 'MemberExpression', 'TestExpression', 'UnaryExpression']);
const TRUTH_OPERATORS: ReadonlySet<unknown> = new Set(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in', 'and', 'or']);
/** Where statements have others inside them. */
const STATEMENT_LISTS = ['body', 'alternate', 'defaultBlock'];

interface Expression {
  readonly type?: string;
  readonly operator?: { readonly value?: string };
}

/** Python prints `True`, `False` and `None` where the interpreter prints `true`, `false` and nothing. Changes the tree in place. */
function rewritePrints(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    if (!STATEMENT_LISTS.includes(name) || !Array.isArray(value)) continue;
    const statements = value as Expression[];
    for (const statement of statements) rewritePrints(statement);
    Object.assign(node, { [name]: statements.map((statement) => (mayBeTruth(statement) ? printed(statement) : statement)) });
  }
}

function mayBeTruth({ type, operator }: Expression): boolean {
  return SIMPLE_EXPRESSIONS.has(type) || (type === 'BinaryExpression' && TRUTH_OPERATORS.has(operator?.value));
}

function printed(operand: Expression): object {
  const is = (test: string): object => ({ type: 'TestExpression', operand, negate: false, test: { type: 'Identifier', value: test } });
  const text = (value: string): object => ({ type: 'StringLiteral', value });
  const choice = (condition: object, trueExpr: object, falseExpr: object): object => ({ type: 'Ternary', condition, trueExpr, falseExpr });
  return choice(is('boolean'), choice(operand, text('True'), text('False')), choice(is('none'), text('None'), operand));
}

function withoutMarks(marked: string, [start, end]: readonly [string, string]): RenderedChat {
  const spans: TextSpan[] = [];
  let text = '';
  let open = -1;
  let from = 0;
  for (let at = 0; at < marked.length; at++) {
    const unit = marked[at];
    if (unit !== start && unit !== end) continue;
    text += marked.slice(from, at);
    from = at + 1;
    if (unit === start) open = text.length;
    else if (open >= 0) {
      spans.push({ start: open, end: text.length });
      open = -1;
    }
  }
  return { text: text + marked.slice(from), spans };
}
