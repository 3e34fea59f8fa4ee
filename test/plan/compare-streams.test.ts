import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareStreams, firstWeightDifference, viewOfCursor, type StreamView } from '../../src/plan/compare-streams.js';
import type { Cursor, LaneStates, PlanRecord } from '../../src/plan/cursor.js';
import { weightsAt, type MixtureChange } from '../../src/plan/mixture-changes.js';

const source = (name: string, weight = 1): PlanRecord => ({
  [`sources.${name}.column`]: 'text',
  [`sources.${name}.kind`]: 'text',
  [`sources.${name}.weight`]: weight,
  [`sources.${name}.epochs`]: null,
  [`sources.${name}.maxTokens`]: null,
  [`sources.${name}.whenUsedUp`]: 'drop',
  [`sources.${name}.manifest`]: `shards of ${name}`,
});
const PLAN: PlanRecord = {
  version: 2,
  seed: 1,
  ...source('code'),
  ...source('web', 3),
  'sequence.length': 16,
  'sequence.packing': 'concat',
  'sequence.padId': 0,
  'shuffle.blocks': 8,
  'batch.size': 8,
  'batch.lanes': 4,
  mixture: null,
  badRows: 'fail',
};
const scheduled = (...changes: MixtureChange[]): PlanRecord => ({ mixture: changes.length === 0 ? null : JSON.stringify(changes) });
const change = (at: number, web: number, ramp = 0): MixtureChange => ({ at, weights: { web }, ramp });
const config = (plan: PlanRecord = {}): StreamView => ({
  plan: { ...PLAN, ...plan },
  step: 0,
  mixture: [],
  mixtureKnownBefore: Infinity,
  lanes: undefined,
});
const lanesAt = (group: number): LaneStates => ({ 0: { code: [0, 0, 0, 0, 0, 0], web: [group, 1, 5, 2, 100 * group, -4] } });
const state = (step: number, lanes: LaneStates, mixture: MixtureChange[] = [], plan: PlanRecord = {}): StreamView =>
  viewOfCursor({ version: 2, step, plan: { ...PLAN, ...plan }, mixture, lanes } satisfies Cursor);

describe('comparing streams', () => {
  it('of equal plans: equal, for ever', () => {
    expect(compareStreams(config(), config())).toMatchObject({ verdict: 'equal', equalBefore: Infinity, entries: [] });
  });

  it.each<[PlanRecord, RegExp]>([
    [{ split: 'train', 'validation.share': 0.1 }, /other documents are held out/],
    [{ split: 'validation' }, /one is training/],
    [{ seed: 2 }, /order/],
    [{ 'sequence.length': 32 }, /cut/],
    [{ 'shuffle.blocks': null }, /windows/],
    [{ 'tokenizer.file': 'other' }, /tokenizer/],
    [{ 'sources.web.manifest': 'other' }, /shards are others/],
    [{ 'sources.web.scan': 'as-read' }, /opens as it reads them/],
    [{ 'sources.web.epochs': 2 }, /used up.*depends on the data/],
    [{ 'sources.web.exclude': 'f00d' }, /only one of them leaves out/],
    [{ badRows: 'skip' }, /first bad row/],
    [{ 'sequence.padId': 7 }, /first padding/],
    [{ 'no.such.entry': true }, /possibly from step 0/],
    [source('more'), /only one of them has the source more/],
  ])('%j: from step 0 on, or where the data says', (plan, why) => {
    const { verdict, equalBefore, entries } = compareStreams(config(), config(plan));
    expect([verdict, equalBefore]).toEqual(['differ', 0]);
    expect(entries.map(({ field }) => field).sort()).toEqual(Object.keys(plan).sort());
    for (const entry of entries) expect(entry.why).toMatch(why);
  });

  it('names both values, also of an entry that one has not', () => {
    const { entries } = compareStreams(config(), config({ badBlocks: 'skip' }));
    expect(entries).toMatchObject([{ field: 'badBlocks', a: undefined, b: 'skip' }]);
  });

  it('the seed does not matter where nothing is shuffled', () => {
    const plan = { 'shuffle.blocks': null };
    expect(compareStreams(config(plan), config({ ...plan, seed: 2 }))).toMatchObject({
      verdict: 'equal',
      equalBefore: Infinity,
      entries: [{ field: 'seed' }],
    });
  });

  it('the tokens of a source are used up no sooner than a lane can deliver its part of them', () => {
    // a lane's part is 2,560 tokens, and a step has 128
    const { equalBefore } = compareStreams(config({ 'sources.web.maxTokens': 10_240 }), config({ 'sources.web.maxTokens': 90_000 }));
    expect(equalBefore).toBe(20);
  });

  it('the first other weights are found: of a source, of a schedule, of a ramp; a change to what holds already is none', () => {
    expect(compareStreams(config(), config({ 'sources.web.weight': 4 }))).toMatchObject({ verdict: 'differ', equalBefore: 0 });
    expect(compareStreams(config(), config(scheduled(change(500, 4))))).toMatchObject({ verdict: 'differ', equalBefore: 500 });
    const ramps = [change(100, 9, 1000), change(100, 9, 1001)].map((ramp) => config(scheduled(change(5, 2), ramp)));
    expect(compareStreams(ramps[0], ramps[1])).toMatchObject({ verdict: 'differ', equalBefore: 100 });
    expect(compareStreams(config(), config(scheduled(change(500, 3))))).toMatchObject({ verdict: 'equal', equalBefore: Infinity });
    // from 3 to 3 in a long ramp, and on
    expect(compareStreams(config(), config(scheduled(change(10, 3, 2000), change(7000, 5))))).toMatchObject({ equalBefore: 7000 });
    // a ramp of a million steps that both have
    const long = change(1, 9, 1e6);
    expect(compareStreams(config(scheduled(long)), config(scheduled(long)))).toMatchObject({ verdict: 'equal' });
    expect(compareStreams(config(scheduled(long)), config(scheduled(long, change(2e6, 1))))).toMatchObject({ equalBefore: 2e6 });
  });

  it('the weight of the only source does not matter', () => {
    const alone = (weight: number): StreamView => ({ ...config(), plan: { seed: 1, ...source('web', weight) } });
    expect(compareStreams(alone(1), alone(5))).toMatchObject({ verdict: 'equal' });
  });

  it('never says equal before a step whose weights differ', () => {
    const changes = fc.array(
      fc.record({ at: fc.nat(40), weights: fc.record({ web: fc.nat(2), code: fc.nat(2) }, { requiredKeys: [] }), ramp: fc.nat(6) }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(changes, changes, fc.nat(4), (a, b, shared) => {
        const views = [a, [...a.slice(0, shared), ...b]].map((own) => config(scheduled(...(own as MixtureChange[]))));
        const step = firstWeightDifference(views[0], views[1]);
        const weights = views.map(({ plan }) => (at: number) => {
          const own = plan.mixture === null ? [] : (JSON.parse(String(plan.mixture)) as MixtureChange[]);
          return weightsAt(['code', 'web'], [1, 3], own, at);
        });
        for (let at = 0; at < Math.min(60, step); at++) expect(weights[0](at)).toEqual(weights[1](at));
        if (step < Infinity) expect(weights[0](step)).not.toEqual(weights[1](step));
      }),
    );
  });
});

describe('comparing states', () => {
  it('of one plan: one stream at two steps, with the positions that differ', () => {
    const comparison = compareStreams(state(3, lanesAt(1)), state(9, lanesAt(2)));
    expect(comparison).toMatchObject({ verdict: 'equal', positions: [{ lane: '0', source: 'web' }] });
    expect(comparison.why).toMatch(/from step 3 on/);
  });

  it('a change that both should know of parts them at its step, one that only the later can know of perhaps', () => {
    const later = state(900, lanesAt(2), [change(500, 4)]);
    expect(compareStreams(state(800, lanesAt(1)), later)).toMatchObject({
      verdict: 'differ',
      equalBefore: 500,
      changes: { a: [], b: [{ at: 500 }] },
    });
    expect(compareStreams(state(400, lanesAt(1)), later)).toMatchObject({ verdict: 'open', equalBefore: 500 });
    expect(compareStreams(state(800, lanesAt(1), [change(500, 4)]), later)).toMatchObject({ verdict: 'equal' });
    // a configuration that no sidecar can change
    expect(compareStreams(config(), later)).toMatchObject({ verdict: 'differ', equalBefore: 500 });
  });

  it('positions that one stream cannot have show that one is no state of it', () => {
    const same = compareStreams(state(9, lanesAt(1)), state(9, lanesAt(2)));
    expect(same).toMatchObject({ verdict: 'differ', equalBefore: 0 });
    expect(same.why).toMatch(/lane 0 stands at/);
    expect(compareStreams(state(9, lanesAt(1)), state(3, lanesAt(2)))).toMatchObject({
      verdict: 'differ',
      why: expect.stringMatching(/further/) as string,
    });
  });

  it('of two plans: the plan decides', () => {
    expect(compareStreams(state(9, lanesAt(1)), state(9, lanesAt(2), [], { seed: 2 }))).toMatchObject({
      verdict: 'differ',
      why: expect.stringMatching(/seed/) as string,
    });
  });
});
