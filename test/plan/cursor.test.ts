import { describe, expect, it } from 'vitest';
import { checkCursorPlan, checkExpectedPlan, lanesOfCursor, mergeCursors, parseCursor, type Cursor } from '../../src/plan/cursor.js';

const plan = { seed: 17, 'sequence.length': 2048 };
const cursor = (lanes: Cursor['lanes'], step = 5): Cursor => ({ version: 2, step, plan, mixture: [], lanes });
const at = (group: number): Cursor['lanes'][string] => ({ web: [group, 0, 1, 2, 3, -4] });

describe('cursors', () => {
  it('survive JSON', () => {
    const original = cursor({ 0: at(0), 7: at(9) });
    expect(parseCursor(JSON.parse(JSON.stringify(original)))).toEqual(original);
  });

  it.each([
    ['nothing', undefined],
    ['half of one', { version: 2, step: 3 }],
    ['a negative place', cursor({ 0: { web: [-1, 0, 0, 0, 0, 0] } })],
    ['a place too short', { ...cursor({}), lanes: { 0: { web: [1, 2] } } }],
    ['a lane without a number', cursor({ x: at(0) })],
  ])('refuse %s', (_name, value) => expect(() => parseCursor(value)).toThrow(expect.objectContaining({ code: 'CURSOR_INVALID' })));

  it('say so when they are of another version', () => {
    expect(() => parseCursor({ ...cursor({}), version: 3 })).toThrow(/version 3/);
  });

  it('are refused by another plan, which names what differs', () => {
    const other = { ...plan, seed: 18 };
    expect(() => checkCursorPlan(cursor({}), other)).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'seed', cursor: 17, run: 18 } }),
    );
    expect(() => checkCursorPlan(cursor({}), { ...plan, extra: 1 })).toThrow(/extra is absent in the cursor/);
    const older: Cursor = { ...cursor({}), plan: { ...plan, version: 2 } };
    expect(() => checkCursorPlan(older, { ...plan, version: 3 })).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', hint: expect.stringContaining('the version of headrace that made the cursor') }),
    );
    expect(() => checkCursorPlan(cursor({}), { ...plan, 'sources.web.exclude': 'f00d' })).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', hint: expect.stringContaining('A list holds from the first step on') }),
    );
    expect(() => checkExpectedPlan({ 'sequence.length': 1024 }, plan)).toThrow(
      expect.objectContaining({ code: 'CONFIG_MISMATCH', detail: { field: 'sequence.length', expected: 1024, run: 2048 } }),
    );
  });

  it('of several ranks merge by lane', () => {
    const merged = mergeCursors([cursor({ 0: at(0), 2: at(2) }), cursor({ 1: at(1), 2: at(2) })]);
    expect(Object.keys(merged.lanes)).toEqual(['0', '1', '2']);
    expect(lanesOfCursor(merged, [1, 2], ['web'])).toEqual({ 1: at(1), 2: at(2) });
  });

  it.each([
    ['of different steps', [cursor({ 0: at(0) }), cursor({ 1: at(1) }, 6)], 'step'],
    ['that disagree about a lane', [cursor({ 0: at(0) }), cursor({ 0: at(8) })], 'lanes.0'],
    [
      'that were mixed differently',
      [cursor({ 0: at(0) }), { ...cursor({ 1: at(1) }), mixture: [{ at: 3, weights: { web: 2 }, ramp: 0 }] }],
      'mixture',
    ],
    [
      'of which none has a lane',
      [0, 2].map((lane) => ({ ...cursor({ [lane]: at(lane) }), plan: { ...plan, 'batch.lanes': 3 } })),
      'lanes.1',
    ],
    ['of different plans', [cursor({}), { ...cursor({}), plan: { ...plan, seed: 1 } }], 'seed'],
  ] as const)('%s are not merged', (_name, cursors, field) => {
    expect(() => mergeCursors(cursors)).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: expect.objectContaining({ field }) }),
    );
  });

  it('that lack a lane are refused by name', () => {
    expect(() => lanesOfCursor(cursor({ 0: at(0) }), [0, 1], ['web'])).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'lanes.1' } }),
    );
  });
});
