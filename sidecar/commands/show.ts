/** `headrace show CONFIG --step N`: the documents behind a batch, with source, shard, row and text of each segment. */
import { stripVTControlCharacters } from 'node:util';
import { loadConfig } from '../../src/config/config.js';
import { formatDuration } from '../../src/core/quantity.js';
import { showStep, type ShownField, type ShownSegment, type ShownSlot, type ShownStep } from '../../src/showing.js';
import { printable, printableJson } from '../printable.js';
import { statesFor, type StateFlags } from './read-states.js';

export interface ShowOptions extends StateFlags {
  readonly configFile: string;
  readonly step: number;
  /** `undefined`: that of the state, else training. */
  readonly split: ShownStep['split'] | undefined;
  readonly rank: number;
  readonly worldSize: number;
  readonly slot: number | undefined;
  readonly fromStart: boolean;
  /** Columns of a line; `undefined`: those of the terminal. */
  readonly width: number | undefined;
  /** Lines of text a segment. */
  readonly lines: number;
  /** One JSON value a line: the step, then each slot. */
  readonly json: boolean;
}

const WIDTH_DEFAULT = 100;
const WIDTH_MIN = 40;
const INDENT = '      ';
/** Between the beginning and the end of a text that is too long. */
const MARK = ' … ';
/** A terminal is told once a second how far it is; a log every ten. */
const TERMINAL_INTERVAL_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;

/** Returns the exit status. Errors: those of `showStep`, `CONFIG_INVALID`, `CURSOR_INVALID`. */
export async function show(options: ShowOptions): Promise<number> {
  const { configFile, step, split, rank, worldSize, slot, fromStart, json } = options;
  const config = await loadConfig(configFile);
  const cursor = await statesFor(options, step, config);
  const started = performance.now();
  const progress = showProgress(step);
  const shown = await showStep(config, {
    step,
    rank,
    worldSize,
    fromStart,
    ...(split && { split }),
    ...(slot !== undefined && { slot }),
    ...(cursor.length > 0 && { cursor }),
    // a ledger has the changes of weights that the run took
    observe: options.ledger === undefined ? 'run' : 'cursor',
    onStep: progress,
    warn: (message) => void process.stderr.write(`${printable(message)}\n`),
  });
  if (json) {
    for (const line of jsonLines(shown)) process.stdout.write(`${line}\n`);
    return 0;
  }
  const { isTTY, columns } = process.stdout;
  const width = Math.max(WIDTH_MIN, options.width ?? (isTTY ? columns : WIDTH_DEFAULT));
  const style = createStyle(isTTY && process.env.NO_COLOR === undefined);
  const ms = performance.now() - started;
  for (const line of shownLines(shown, { width, lines: options.lines, style, ms })) process.stdout.write(`${line}\n`);
  return 0;
}

function showProgress(step: number): (made: number) => void {
  const intervalMs = process.stderr.isTTY ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
  let saidMs = performance.now();
  return (made) => {
    const now = performance.now();
    if (now - saidMs < intervalMs) return;
    saidMs = now;
    process.stderr.write(`step ${made} is made, ${step - made} to go\n`);
  };
}

/** The step, then each slot; texts whole. Ids where there is no text. */
export function* jsonLines({ slots, ...step }: ShownStep): Generator<string, void> {
  yield printableJson({ type: 'step', ...step, slots: slots.length });
  for (const slot of slots) {
    const segments = slot.segments.map(({ ids, text, ...segment }) => ({
      ...segment,
      tokens: segment.tokenEnd - segment.tokenStart,
      ...(text === undefined ? { ids: [...ids] } : { text }),
    }));
    yield printableJson({ type: 'slot', ...slot, segments });
  }
}

export interface Style {
  readonly bold: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly source: (text: string) => string;
}

export function createStyle(colours: boolean): Style {
  const styled = (on: number, off: number) => (text: string) => (colours ? `\u001b[${on}m${text}\u001b[${off}m` : text);
  return { bold: styled(1, 22), faint: styled(2, 22), source: styled(36, 39) };
}

export interface LineOptions {
  readonly width: number;
  readonly lines: number;
  readonly style: Style;
  /** How long it took. */
  readonly ms: number;
}

export function* shownLines(shown: ShownStep, options: LineOptions): Generator<string, void> {
  const { step, split, rank, worldSize, length, tokens, padding, digest, stepsMade, slots } = shown;
  const { width } = options;
  const { bold, faint } = options.style;
  const isSamples = slots.some(({ fields }) => fields !== undefined);
  const contents = isSamples
    ? [`${counted(slots.length, 'sample')}, ${padding} of padding`]
    : [`${counted(slots.length, 'sequence')} of ${length}`, `${counted(tokens, 'token')}, ${padding} of padding`];
  const whose = worldSize === 1 ? [] : [`rank ${rank} of ${worldSize}`];
  yield* partLines([bold(split === 'train' ? `step ${step}` : `step ${step} of ${split}`), ...whose, ...contents], width);
  yield faint(`digest ${digest}`);
  yield faint(`${counted(stepsMade, 'step')} before it had to be made · ${formatDuration(options.ms)}`);
  for (const slot of slots) yield* slotLines(slot, options);
}

function* slotLines(
  { slot, lane, turn, tokens, padding, digest, segments, fields = [] }: ShownSlot,
  options: LineOptions,
): Generator<string, void> {
  const { bold, faint } = options.style;
  const filling = lane === turn ? `lane ${lane}` : `lane ${lane} in place of lane ${turn}, which had none`;
  yield '';
  const parts = [bold(`slot ${slot}`), filling, `${counted(tokens, 'token')}, ${padding} of padding`, faint(`${digest.slice(0, 16)}…`)];
  yield* partLines(parts, options.width);
  for (const segment of segments) yield* segmentLines(segment, options);
  if (segments.length > 0) for (const field of fields) yield* fieldLines(field, options);
}

function* fieldLines(
  { name, type, bytes, sha256, text, numbers }: ShownField,
  { width, lines, style }: LineOptions,
): Generator<string, void> {
  yield `${INDENT}${style.source(printable(name))} · ${type} · ${counted(bytes, 'byte')} ${style.faint(`· sha256 ${sha256.slice(0, 16)}…`)}`;
  const shown = text === undefined ? (numbers?.join(' ') ?? '') : printable(text);
  for (const line of textLines(shown, width - INDENT.length - 2, lines)) yield `${INDENT}  ${line}`;
}

function* segmentLines(segment: ShownSegment, { width, lines, style }: LineOptions): Generator<string, void> {
  const { start, source, uri, row, id, tokenStart, tokenEnd, begins, ends, ids, text } = segment;
  const named = id === undefined ? [] : [`id ${printable(id)}`];
  const place = `[${start}, ${start + tokenEnd - tokenStart})`;
  const tokens = `tokens [${tokenStart}, ${tokenEnd}) of the document: ${partOf(begins, ends)}`;
  yield* partLines([`  ${place} ${style.source(source)}`, `row ${row}`, ...named, tokens], width);
  yield style.faint(`${INDENT}${printable(uri)}`);
  if (ids.length === 0) return; // a sample's fields follow
  for (const line of textLines(text === undefined ? `ids ${ids.join(' ')}` : printable(text), width - INDENT.length, lines)) {
    yield `${INDENT}${line}`;
  }
}

function partOf(begins: boolean, ends: boolean): string {
  if (begins) return ends ? 'all of it' : 'it begins, and goes on';
  return ends ? 'it goes on, and ends' : 'it goes on';
}

/** An escape of `printable`, or a character. */
const UNIT = /\\(?:u\{[0-9a-f]+\}|.)|./gu;

/** Printable text in lines that cut no escape; of what is too long, the beginning and the end. */
export function textLines(text: string, width: number, linesMax: number): string[] {
  if (linesMax === 0) return [];
  const units = text.match(UNIT) ?? [];
  const reversed = units.toReversed();
  const whole = filledLines(units, width, linesMax + 1);
  if (whole.length <= linesMax) return whole.map((line) => line.join(''));
  if (linesMax === 1) {
    const left = Math.ceil((width - MARK.length) / 2);
    const [[head], [tail]] = [filledLines(units, left, 1), filledLines(reversed, width - MARK.length - left, 1)];
    return [`${head.join('')}${MARK}${tail.toReversed().join('')}`];
  }
  const above = Math.ceil(linesMax / 2);
  const below = filledLines(reversed, width - MARK.length, linesMax - above).map((line) => line.toReversed().join(''));
  return [...filledLines(units, width, above).map((line) => line.join('')), ...below.toReversed()].map((line, i) =>
    i === above ? `${MARK.trimStart()}${line}` : line,
  );
}

/** As many of the units as fit, whole, into so many lines. */
function filledLines(units: readonly string[], width: number, linesMax: number): string[][] {
  const lines: string[][] = [];
  let room = 0;
  for (const unit of units) {
    const columns = Array.from(unit).length;
    if (columns > room) {
      if (lines.length === linesMax) break;
      lines.push([]);
      room = width;
    }
    lines[lines.length - 1].push(unit);
    room -= columns;
  }
  return lines;
}

/** Parts of a line side by side; those that it has no room for, below. */
function* partLines(parts: readonly string[], width: number): Generator<string, void> {
  let [line] = parts;
  for (const part of parts.slice(1)) {
    const longer = `${line} · ${part}`;
    if (columnsOf(longer) <= width) line = longer;
    else {
      yield line;
      line = `${INDENT}${part}`;
    }
  }
  yield line;
}

/** Without what `createStyle` adds. */
function columnsOf(line: string): number {
  return Array.from(stripVTControlCharacters(line)).length;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
