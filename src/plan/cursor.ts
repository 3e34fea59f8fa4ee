/** Cursors: where a stream stands at the end of a step, as small JSON that a checkpoint carries. `docs/wire.md` has the form. Pure. */
import * as z from 'zod';
import { HeadraceError } from '../core/errors.js';
import { mixtureChangeSchema, sameChanges, type MixtureChange } from './mixture-changes.js';

/**
 * A lane's next sequence in one source: group (over all epochs), window of the group, document of the window's order, token of the document (of samples: how many of the row are done); then the
 * tokens delivered, and the credit of the mixture (see `MixtureCandidate`).
 */
export type LanePosition = readonly [group: number, window: number, document: number, token: number, delivered: number, credit: number];

/** Raise it when the form of a cursor changes. */
export const CURSOR_VERSION = 2;

/** By source name. */
export type LaneState = Readonly<Record<string, LanePosition>>;

/** By lane number. */
export type LaneStates = Readonly<Record<string, LaneState>>;

/** Every entry that the stream depends on, flat: equal plans have equal streams. */
export type PlanRecord = Readonly<Record<string, string | number | boolean | null>>;

/** A client's micro-batches: so many of a rank's rows of the next step were given out; more than 0, and not all of them. */
export interface RowsGiven {
  readonly given: number;
  readonly of: number;
}

export interface Cursor {
  readonly version: typeof CURSOR_VERSION;
  /** Steps consumed; the next batch has this step. */
  readonly step: number;
  readonly plan: PlanRecord;
  /** The changes of weights that were made while running, of the steps consumed; what the configuration schedules is in the plan. */
  readonly mixture: readonly MixtureChange[];
  readonly lanes: LaneStates;
  /** Of the middle of a step only. Sidecars serve whole steps: it is the client's, and does not travel. */
  readonly rows?: RowsGiven | undefined;
}

const count = z.int().min(0);
const positionSchema = z.tuple([count, count, count, count, count, z.int()]);
const cursorSchema = z.object({
  version: z.literal(CURSOR_VERSION),
  step: count,
  plan: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  mixture: z.array(mixtureChangeSchema),
  lanes: z.record(z.string().regex(/^\d+$/), z.record(z.string(), positionSchema)),
  rows: z
    .strictObject({ given: count.min(1), of: count })
    .refine(({ given, of }) => given < of, 'they are no part of a step')
    .optional(),
});

/** Checks the form of a cursor that came from outside. Errors: `CURSOR_INVALID`. */
export function parseCursor(value: unknown): Cursor {
  const parsed = cursorSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue.path.map(String).join('.');
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined;
  const other = typeof version === 'number' && version !== CURSOR_VERSION;
  throw new HeadraceError(
    'CURSOR_INVALID',
    other
      ? `the cursor has version ${version}; this headrace reads version ${CURSOR_VERSION}`
      : `this is no cursor: ${field === '' ? '' : `${field}: `}${issue.message}`,
    {
      detail: { field },
      hint: other
        ? 'Continue with the version of headrace that wrote it: another one may order the stream otherwise.'
        : 'Pass a state that state_dict() or batch.cursor gave; a truncated checkpoint cannot be continued.',
    },
  );
}

/** Errors: `CURSOR_MISMATCH` naming the first plan entry that differs. */
export function checkCursorPlan(cursor: Cursor, plan: PlanRecord): void {
  const field = differingEntry(cursor.plan, plan);
  if (field === undefined) return;
  throw new HeadraceError(
    'CURSOR_MISMATCH',
    `the cursor belongs to another stream: ${field} is ${describeEntry(cursor.plan[field])} in the cursor and ${describeEntry(plan[field])} in this run`,
    {
      detail: { field, cursor: cursor.plan[field] ?? null, run: plan[field] ?? null },
      hint: hintOfEntry(field),
    },
  );
}

function hintOfEntry(field: string): string {
  if (field === 'version')
    return 'Between these two, headrace changed the order of streams (CHANGELOG.md says how): continue with the version of headrace that made the cursor, or start without a cursor.';
  if (/^sources\..+\.exclude$/.test(field))
    return 'A list holds from the first step on: continue with the one that the cursor was made with, or start without a cursor. What is left of a run goes past the steps of a spike when the trainer takes them and does not train on them.';
  return 'Continue with the configuration and data that the cursor was made with, or start without a cursor.';
}

/** Entries that `expected` names and `plan` has otherwise; the first by name. Errors: `CONFIG_MISMATCH`. */
export function checkExpectedPlan(expected: PlanRecord, plan: PlanRecord): void {
  const field = Object.keys(expected)
    .sort()
    .find((name) => expected[name] !== plan[name]);
  if (field === undefined) return;
  throw new HeadraceError(
    'CONFIG_MISMATCH',
    `the sidecar runs another configuration than the trainer expects: ${field} is ${describeEntry(plan[field])}, expected ${describeEntry(expected[field])}`,
    {
      detail: { field, expected: expected[field], run: plan[field] ?? null },
      hint: 'Start the sidecar with the configuration that the trainer was written for, or change what the trainer expects.',
    },
  );
}

/**
 * How many of its rows of the next step a rank has had already: 0 between steps. `microBatch`: `undefined` for whole steps.
 * Errors: `CURSOR_MISMATCH`, where ranks have other rows than in the run that saved the cursor, or micro-batches would begin elsewhere.
 */
export function rowsGivenOf({ rows, step, plan }: Cursor, worldSize: number, microBatch: number | undefined): number {
  if (rows === undefined) return 0;
  const refuse = (problem: string, hint: string): HeadraceError =>
    new HeadraceError(
      'CURSOR_MISMATCH',
      `the cursor is of the middle of step ${step}, after ${rows.given} of ${rows.of} rows of a rank; ${problem}`,
      { detail: { field: 'rows' }, hint },
    );
  if (rows.of * worldSize !== plan['batch.size']) {
    throw refuse(
      `with world size ${worldSize} ranks have other rows`,
      'Continue with as many ranks as saved it, or from a checkpoint between two steps, which any number of ranks can continue.',
    );
  }
  const size = microBatch ?? rows.of;
  if (rows.given % size !== 0) {
    throw refuse(
      `no micro-batch of ${size} rows begins there`,
      'Ask for micro-batches of a size that divides both, such as the one that it was saved with.',
    );
  }
  return rows.given;
}

/** What all of them say. Errors: `CURSOR_MISMATCH`, where they say different things. */
function commonRows(cursors: readonly Cursor[]): RowsGiven | undefined {
  const rows = cursors.at(0)?.rows;
  if (cursors.some((cursor) => cursor.rows?.given !== rows?.given || cursor.rows?.of !== rows?.of))
    throw mergeError('rows', `their ranks were at different rows of step ${cursors[0].step}`);
  return rows;
}

/** Cursors of one checkpoint, as those of whole steps and the rows that were given out besides; these are checked as by `rowsGivenOf`. */
export function splitRows(
  cursors: readonly Cursor[],
  worldSize: number,
  microBatch: number | undefined,
): { readonly cursors: readonly Cursor[]; readonly rows: RowsGiven | undefined } {
  const rows = commonRows(cursors);
  if (rows === undefined) return { cursors, rows };
  rowsGivenOf(cursors[0], worldSize, microBatch);
  return { cursors: cursors.map(betweenSteps), rows };
}

/** Where a sidecar goes on: at whole steps. */
export function betweenSteps({ version, step, plan, mixture, lanes }: Cursor): Cursor {
  return { version, step, plan, mixture, lanes };
}

/**
 * Joins the cursors of several ranks, by lane: all of one step (and, in the middle of it, as many rows) and one plan; lanes that several hold must agree, and no lane may be missing.
 * Errors: `CURSOR_MISMATCH`, naming what differs.
 */
export function mergeCursors(cursors: readonly Cursor[]): Cursor {
  const [first, ...rest] = cursors;
  const lanes: Record<string, LaneState> = { ...first.lanes };
  for (const cursor of rest) {
    checkCursorPlan(cursor, first.plan);
    if (cursor.step !== first.step) throw mergeError('step', `the states are of different steps (${first.step} and ${cursor.step})`);
    commonRows([first, cursor]);
    for (const [lane, state] of Object.entries(cursor.lanes)) {
      if (lane in lanes && !sameLaneState(lanes[lane], state)) throw mergeError(`lanes.${lane}`, `two states disagree about lane ${lane}`);
      lanes[lane] = state;
    }
    if (!sameChanges(cursor.mixture, first.mixture)) throw mergeError('mixture', 'their weights were changed differently');
  }
  const missing = Array.from({ length: Number(first.plan['batch.lanes'] ?? 0) }, (_, lane) => String(lane)).find(
    (lane) => !(lane in lanes),
  );
  if (missing !== undefined) throw mergeError(`lanes.${missing}`, `none of them holds lane ${missing}`);
  return { ...first, lanes };
}

/** The positions of `lanes` in a cursor. Errors: `CURSOR_MISMATCH` where it lacks one. */
export function lanesOfCursor(cursor: Cursor, lanes: readonly number[], sources: readonly string[]): LaneStates {
  return Object.fromEntries(
    lanes.map((lane) => {
      const state = Object.entries(cursor.lanes).find(([name]) => name === String(lane))?.[1];
      if (state === undefined || sources.some((source) => !(source in state))) {
        throw new HeadraceError('CURSOR_MISMATCH', `the cursor does not hold lane ${lane}, which this rank needs`, {
          detail: { field: `lanes.${lane}` },
          hint: 'After a change of the world size pass the states of all ranks, or the merged one.',
        });
      }
      return [String(lane), state];
    }),
  );
}

export function sameLaneStates(a: LaneStates, b: LaneStates): boolean {
  const lanes = Object.keys(a);
  return lanes.length === Object.keys(b).length && lanes.every((lane) => lane in b && sameLaneState(a[lane], b[lane]));
}

function sameLaneState(a: LaneState, b: LaneState): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length && names.every((name) => name in b && a[name].every((value, index) => value === b[name][index]))
  );
}

/** The first entry, by name, that two plans do not share; before all `split`, and a source's `scan`, since what differs in them differs in other entries as well. */
export function differingEntry(a: PlanRecord, b: PlanRecord): string | undefined {
  return differingEntries(a, b).at(0);
}

/** The entries that two plans do not share, in the same order. */
export function differingEntries(a: PlanRecord, b: PlanRecord): string[] {
  const names = [...Object.keys(a), ...Object.keys(b)].sort();
  const scans = names.filter((name) => /^sources\.[^.]+\.scan$/.test(name));
  return [...new Set(['split', ...scans, ...names])].filter((name) => a[name] !== b[name]);
}

function mergeError(field: string, message: string): HeadraceError {
  return new HeadraceError('CURSOR_MISMATCH', `these states cannot be merged: ${message}`, {
    detail: { field },
    hint: 'Merge the states that all ranks saved in one checkpoint.',
  });
}

export function describeEntry(value: string | number | boolean | null | undefined): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}
