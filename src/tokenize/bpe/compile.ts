/**
 * From the parts of a `tokenizer.json` to what the encoders run on. Nothing is recognised by its name: each part is compiled, or the whole file is left
 * to the slow path, with the reason.
 *
 *   normalizer ──▶ normal form, space as ▁, prefix      pre-tokenizer ──▶ automata      model ──▶ tokens and merges      added tokens ──▶ matched ones
 */
import { buildAutomata, type Automata } from '../pattern/automaton.js';
import { codePointsOf, complement, unicodeClass, type CodePoints } from '../pattern/code-points.js';
import { literalPattern, parsePattern, PatternUnsupported, type PatternNode } from '../pattern/parse-pattern.js';
import type { TokenizerOptions } from '../tokenizer.js';
import { readModel, tokenText, type BpeModel } from './model.js';
import type { ScannedJson } from './scan-json.js';
import { stepsOf, type AddedToken, type Component, type TokenizerJson } from './tokenizer-json.js';

/** What this file does not compile, and why. */
export class NotCompilable extends Error {
  override readonly name = 'NotCompilable';
}

/** One split of the text, by its pattern. */
export interface Level {
  readonly keepMatches: boolean;
  /** What lies between matches is a piece of its own, too; else it is dropped. */
  readonly keepGaps: boolean;
}

/** What comes before each segment of text between added tokens: nothing, a space, or a space unless there is one. */
export type Prefix = 'none' | 'always' | 'unless-space' | 'unless-space-or-mark';

export interface CompiledBpe {
  readonly model: BpeModel;
  readonly levels: readonly Level[];
  readonly automata: Automata;
  readonly normalForm: 'none' | 'NFC' | 'NFKC';
  readonly prefix: Prefix;
  /** Only the first segment of a document has the prefix. */
  readonly prefixFirstOnly: boolean;
  /** Added tokens that are matched in text. */
  readonly matched: readonly AddedToken[];
}

/** The pattern of GPT-2, which `ByteLevel` means by `use_regex` (openai/gpt-2, encoder.py). */
const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const SPACE = 0x20;
const LINE_FEED = 0x0a;
/** The mark for a space. */
const MARK = '▁';
const MARK_POINT = 0x2581;
/** The first byte of its UTF-8. */
const MARK_LEAD = 0xe2;
/** A space, before and after it is marked. */
const SPACES = codePointsOf(SPACE, MARK_POINT);

/** Errors: `NotCompilable`; TypeError and the like where the file is none. */
export function compileBpe(json: TokenizerJson, scanned: ScannedJson, options: TokenizerOptions): CompiledBpe {
  try {
    return compile(json, scanned, options);
  } catch (error) {
    if (error instanceof PatternUnsupported) throw new NotCompilable(error.message);
    throw error;
  }
}

function compile(json: TokenizerJson, scanned: ScannedJson, { specialTokens }: TokenizerOptions): CompiledBpe {
  const { model } = json;
  if (model.type !== undefined && model.type !== 'BPE') throw new NotCompilable(`its model is ${model.type}`);
  if (model.dropout !== undefined && model.dropout !== null && model.dropout !== 0) throw new NotCompilable('its model has dropout');
  if ((model.continuing_subword_prefix ?? '') !== '') throw new NotCompilable('its model marks the continuations of words');
  if ((model.end_of_word_suffix ?? '') !== '') throw new NotCompilable('its model marks the ends of words');
  const matched = matchedTokens(json, { specialTokens });
  const text = compileText(json);
  checkAdded(matched, text);
  const bpe = readModel(model, scanned, text.style);
  if (typeof bpe === 'string') throw new NotCompilable(bpe);
  const splits = text.splits ?? safeSplits(bpe);
  const automata = buildAutomata(splits.map(({ pattern }) => pattern));
  const levels = splits.map(({ keepMatches, keepGaps }) => ({ keepMatches, keepGaps }));
  const { normalForm, prefix, prefixFirstOnly } = text;
  return { model: bpe, levels, automata, normalForm, prefix, prefixFirstOnly, matched };
}

/** Added tokens that are matched in text. */
export function matchedTokens(json: TokenizerJson, { specialTokens }: TokenizerOptions): readonly AddedToken[] {
  return (json.added_tokens ?? []).filter((token) => token.content !== '' && (specialTokens === 'match' || !token.special));
}

interface Split extends Level {
  readonly pattern: PatternNode;
}

interface TextRules {
  readonly style: 'bytes' | 'characters';
  readonly normalForm: CompiledBpe['normalForm'];
  readonly prefix: Prefix;
  readonly prefixFirstOnly: boolean;
  /** `undefined`: none is asked for, and splits that change nothing may be chosen. */
  readonly splits: readonly Split[] | undefined;
}

function compileText(json: TokenizerJson): TextRules {
  let normalForm: CompiledBpe['normalForm'] = 'none';
  let prefix: Prefix = 'none';
  let marksSpaces = false;
  for (const step of stepsOf(json.normalizer, 'normalizers')) {
    if ((step.type === 'NFC' || step.type === 'NFKC') && normalForm === 'none' && !marksSpaces) normalForm = step.type;
    else if (step.type === 'Prepend' && step.prepend === MARK && prefix === 'none') prefix = 'always';
    else if (step.type === 'Replace' && patternText(step.pattern) === ' ' && step.content === MARK) marksSpaces = true;
    else throw new NotCompilable(`its normalizer has a step ${describe(step)}`);
  }
  if (prefix !== 'none' && !marksSpaces) throw new NotCompilable('its normalizer prepends a mark and leaves spaces');
  if (marksSpaces && normalForm !== 'none') throw new NotCompilable('its normalizer both normalizes and marks spaces');

  const steps = stepsOf(json.pre_tokenizer, 'pretokenizers');
  const [first] = steps;
  if (steps.length === 1 && first.type === 'Metaspace' && normalForm === 'none') return compileMetaspace(first, prefix, marksSpaces);
  if (marksSpaces) {
    // spaces are gone by then: a split at them does nothing
    const rest = steps.filter((step) => !(step.type === 'Split' && patternText(step.pattern) === ' '));
    if (rest.length > 0) throw new NotCompilable(`it marks spaces, and has the pre-tokenizer ${describe(rest[0])}`);
    return { style: 'characters', normalForm, prefix, prefixFirstOnly: false, splits: undefined };
  }
  const last = steps.at(-1);
  if (last?.type !== 'ByteLevel') throw new NotCompilable('its pre-tokenizer does not end with ByteLevel');
  const splits = steps.slice(0, -1).map(compileSplit);
  if (last.add_prefix_space === true) {
    if (splits.length > 0) throw new NotCompilable('its ByteLevel prepends spaces after a split');
    prefix = 'unless-space';
  }
  if (last.use_regex !== false) splits.push({ pattern: parsePattern(GPT2_PATTERN), keepMatches: true, keepGaps: true });
  return { style: 'bytes', normalForm, prefix, prefixFirstOnly: false, splits };
}

function compileSplit(step: Component): Split {
  switch (step.type) {
    case 'Split': {
      const literal = patternText(step.pattern);
      const source = (step.pattern as { readonly Regex?: string } | undefined)?.Regex;
      if (literal === undefined && source === undefined) throw new NotCompilable(`it has the pre-tokenizer ${describe(step)}`);
      const pattern = literal === undefined ? parsePattern(source ?? '') : literalPattern(literal);
      if (step.behavior === 'Isolated') return { pattern, keepMatches: true, keepGaps: true };
      if (step.behavior === 'Removed') return { pattern, keepMatches: step.invert === true, keepGaps: step.invert !== true };
      throw new NotCompilable(`it has a Split that is ${String(step.behavior)}`);
    }
    case 'Digits':
      return { pattern: classPattern('numeric', step.individual_digits === true ? 1 : Infinity), keepMatches: true, keepGaps: true };
    case 'Punctuation':
      if (step.behavior !== undefined && step.behavior !== 'Isolated' && step.behavior !== 'Contiguous')
        throw new NotCompilable(`it has the pre-tokenizer ${describe(step)}`);
      return { pattern: classPattern('punctuation', step.behavior === 'Contiguous' ? Infinity : 1), keepMatches: true, keepGaps: true };
    default:
      throw new NotCompilable(`it has the pre-tokenizer ${describe(step)}`);
  }
}

function classPattern(name: string, max: number): PatternNode {
  return repeated(oneOf(unicodeClass(name) ?? []), 1, max);
}

function oneOf(set: CodePoints): PatternNode {
  return { type: 'set', set };
}

function repeated(item: PatternNode, min: number, max = Infinity): PatternNode {
  return { type: 'repeat', item, min, max, greedy: true };
}

/** Metaspace marks spaces, prepends a mark, and, unless told otherwise, splits before each mark. */
function compileMetaspace(step: Component, prefix: Prefix, marksSpaces: boolean): TextRules {
  if ((step.replacement ?? MARK) !== MARK || marksSpaces || prefix !== 'none')
    throw new NotCompilable(`it has the pre-tokenizer ${describe(step)}`);
  const scheme = step.prepend_scheme ?? (step.add_prefix_space === false ? 'never' : 'always');
  if (scheme !== 'always' && scheme !== 'first' && scheme !== 'never')
    throw new NotCompilable(`it has the pre-tokenizer ${describe(step)}`);
  const word = oneOf(complement(SPACES));
  const pattern: PatternNode = {
    type: 'choice',
    items: [{ type: 'sequence', items: [oneOf(SPACES), repeated(word, 0)] }, repeated(word, 1)],
  };
  return {
    style: 'characters',
    normalForm: 'none',
    prefix: scheme === 'never' ? 'none' : 'unless-space-or-mark',
    prefixFirstOnly: scheme === 'first',
    splits: step.split === false ? undefined : [{ pattern, keepMatches: true, keepGaps: true }],
  };
}

/** With more characters than this before a mark inside tokens, the text is not split: the pattern would be no simple one. */
const BEFORE_MARKS_MAX = 64;

/**
 * Splits that change nothing, for models that merge over the whole text: no merge crosses a place that no token goes over, so the text may be cut there.
 * Cut are the places before a run of marks, but for those behind characters that some token has before a mark; and the two ends of a run of line feeds,
 * if no token goes over them.
 */
function safeSplits(model: BpeModel): readonly Split[] {
  const beforeMarks = new Set<number>();
  let aroundLines = true;
  for (let merged = 2; merged < model.merges.length; merged += 3) {
    if (!mayReachOver(model, model.merges[merged])) continue;
    const token = tokenText(model, model.merges[merged]);
    if (token.lastIndexOf(MARK) > 0) for (const match of token.matchAll(/[^▁](?=▁)/gu)) beforeMarks.add(match[0].codePointAt(0) ?? 0);
    if (token.includes('\n') && !/^\n+$/.test(token)) aroundLines = false;
  }
  if (beforeMarks.size > BEFORE_MARKS_MAX) return [];
  const cut = aroundLines ? codePointsOf(SPACE, MARK_POINT, LINE_FEED) : SPACES;
  const other = oneOf(complement(cut));
  const joined: PatternNode = { type: 'sequence', items: [oneOf(codePointsOf(...beforeMarks)), repeated(oneOf(SPACES), 1)] };
  const character: PatternNode = beforeMarks.size === 0 ? other : { type: 'choice', items: [joined, other] };
  const word: PatternNode = { type: 'sequence', items: [repeated(oneOf(SPACES), 1), repeated(character, 0)] };
  const items = [word, repeated(character, 1)];
  if (aroundLines) items.push(repeated(oneOf(codePointsOf(LINE_FEED)), 1));
  return [{ pattern: { type: 'choice', items }, keepMatches: true, keepGaps: true }];
}

/** Whether a token has the first byte of a mark behind its start, or a line feed: most have neither, and need not become strings. */
function mayReachOver({ tokenBytes, tokenPlaces }: BpeModel, id: number): boolean {
  const start = tokenPlaces[2 * id];
  const end = start + tokenPlaces[2 * id + 1];
  if (tokenBytes[start] === LINE_FEED) return true;
  for (let i = start + 1; i < end; i++) if (tokenBytes[i] === MARK_LEAD || tokenBytes[i] === LINE_FEED) return true;
  return false;
}

/** Tokens that reach into the text beside them, or that are looked for in normalized text, would need the text as the reference holds it. */
function checkAdded(matched: readonly AddedToken[], text: TextRules): void {
  for (const token of matched) {
    if (token.lstrip || token.rstrip || token.single_word)
      throw new NotCompilable(`its added token ${token.content} takes in the space or the word beside it`);
    const changes = text.normalForm !== 'none' || text.prefix === 'always' || (text.style === 'characters' && /[ ▁]/u.test(token.content));
    if (token.normalized && changes) throw new NotCompilable(`its added token ${token.content} is looked for in normalized text`);
  }
}

/** The text of `{String: …}`. */
function patternText(pattern: unknown): string | undefined {
  if (typeof pattern !== 'object' || pattern === null || !('String' in pattern)) return undefined;
  return typeof pattern.String === 'string' ? pattern.String : undefined;
}

function describe(step: Component): string {
  const text = JSON.stringify(step);
  return text.length <= 120 ? text : `${text.slice(0, 117)}…`;
}
