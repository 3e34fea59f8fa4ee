import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type * as limits from '../../src/config/limits.js';
import { HeadraceError } from '../../src/core/errors.js';
import { checkCursorPlan, mergeCursors, parseCursor, type Cursor } from '../../src/plan/cursor.js';
import { weightsAt } from '../../src/plan/mixture-changes.js';
import { lanesCanEnd } from '../../src/planning.js';
import { Machine } from './machine.js';
import { checkBatch, play, STEPS_MAX } from './play.js';
import type { ReferencePlan } from './reference-types.js';
import { runs, stories, type Phase, type Story } from './runs.js';
import { Scheduler } from './scheduler.js';

// streams of some hundred tokens meet the same bounds as those of millions
vi.mock('../../src/config/limits.js', async (original) => {
  const { LIMITS } = await original<typeof limits>();
  return { LIMITS: { ...LIMITS, chunkTokens: 30, stepsRetainedMax: 3 } };
});

const PYTHON = process.env.HEADRACE_PYTHON;
const PYTHON_SOURCES = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'python', 'src');

/** A failure prints the seed and the path of the smallest story that fails, and the story itself; see test/README.md. */
describe('the simulation', { timeout: 3_600_000 }, () => {
  it('delivers the stream of the reference, whatever dies, and in whatever number it comes back', async () => {
    let [kills, batches, resumes] = [0, 0, 0];
    await fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const played = await play(story);
        kills += played.kills;
        batches += played.batches;
        resumes += played.checkpoints.length;
      }),
      runs(500),
    );
    console.log(`${batches} batches, ${kills} deaths, ${resumes} checkpoints`);
    expect(batches).toBeGreaterThan(0);
  });

  it('with lengths, delivers the same streams and cursors, however far they were measured', async () => {
    let measured = 0;
    await fc.assert(
      fc.asyncProperty(stories, fc.oneof(fc.constant(STEPS_MAX), fc.nat({ max: 12 })), async (story, measuredSteps) => {
        const cursors = new Map<number, string>();
        const played = await play(story, { onBatch: ({ cursor }) => cursors.set(cursor.step, JSON.stringify(cursor)) });
        if (!lanesCanEnd(played.product.config)) return;
        measured++;
        await play(story, {
          measuredSteps,
          onBatch: ({ cursor }) => expect(JSON.stringify(cursor)).toBe(cursors.get(cursor.step) ?? JSON.stringify(cursor)),
        });
      }),
      runs(100),
    );
    expect(measured).toBeGreaterThan(0);
  });

  it('delivers every token of every document as often as declared, with equal steps on all ranks', async () => {
    await fc.assert(
      fc.asyncProperty(stories, fc.nat(), fc.nat({ max: 7 }), async (story, timing, world) => {
        const sources = story.plan.sources.map((source) => ({
          ...source,
          weight: source.weight || 1,
          epochs: source.epochs ?? 1,
          maxTokens: undefined,
          whenUsedUp: 'drop' as const,
        }));
        const plan: ReferencePlan = { ...story.plan, sources, changes: [] };
        const delivered = new Map<string, number>();
        const phase: Phase = { world, machines: 2, steps: Infinity, checkpoint: 0, trainerDeaths: 0, machineDeaths: 0, timing };
        let paddings = 0;
        await play(
          { plan, live: [], phases: [phase] },
          {
            stepsMax: 10_000,
            onBatch: ({ segments }) => {
              for (let i = 0; i < segments.length; i += 6) {
                if (segments[i] < 0) paddings++;
                for (let token = segments[i + 3]; segments[i] >= 0 && token < segments[i + 3] + segments[i + 4]; token++) {
                  const key = `${segments[i]} ${segments[i + 1]} ${segments[i + 2]} ${token}`;
                  delivered.set(key, (delivered.get(key) ?? 0) + 1);
                }
              }
            },
          },
        );
        let [declared, came] = [0, 0];
        for (const [source, { shards, epochs }] of sources.entries()) {
          for (const [shard, units] of shards.entries()) {
            for (const [row, tokens] of units.flatMap(({ rows }) => rows).entries()) {
              for (
                let token = 0;
                token < (plan.packing === 'truncate' || plan.packing === 'samples' ? Math.min(tokens, plan.length) : tokens);
                token++
              ) {
                const times = delivered.get(`${source} ${shard} ${row} ${token}`) ?? 0;
                if (plan.last === 'pad') expect(times, `source ${source}, shard ${shard}, row ${row}, token ${token}`).toBe(epochs);
                else expect(times).toBeLessThanOrEqual(epochs);
                declared += epochs;
                came += times;
              }
            }
          }
        }
        // what `drop` leaves out is less than a step
        expect(declared - came).toBeLessThan(plan.last === 'pad' ? 1 : plan.batch * plan.length);
        expect(
          [...delivered.values()].reduce((total, times) => total + times, 0),
          `${paddings} paddings`,
        ).toBe(came);
      }),
      runs(120),
    );
  });

  it('goes on from every step of a run as if nothing had been', async () => {
    await fc.assert(
      fc.asyncProperty(stories, fc.nat(), fc.nat({ max: 7 }), fc.nat({ max: 7 }), async (story, timing, before, after) => {
        const steps = 12;
        const { plan } = story;
        const cursors = new Map<number, Cursor[]>();
        const first: Phase = { world: before, machines: 1, steps, checkpoint: 0, trainerDeaths: 0, machineDeaths: 0, timing };
        const { reference, product } = await play({ ...story, phases: [first] }, {
          stepsMax: steps,
          onBatch: ({ cursor }) => cursors.set(cursor.step, [...(cursors.get(cursor.step) ?? []), cursor]),
        }); // prettier-ignore
        const worlds = Array.from({ length: plan.batch }, (_, i) => i + 1).filter((size) => plan.batch % size === 0);
        const worldSize = worlds[after % worlds.length];
        for (const [step, states] of cursors) {
          const machine = new Machine(story, product, new Scheduler(timing + step));
          const rank = step % worldSize;
          const stream = machine.open({ rank, worldSize }, JSON.parse(JSON.stringify(states)) as Cursor[]);
          for (let next = step; next < steps; next++) {
            const batch = await stream.next();
            if (batch === undefined) expect(next).toBe(reference.length);
            if (batch === undefined) break;
            checkBatch(batch, { rank, step: next }, worldSize, plan, reference);
          }
          machine.kill();
        }
      }),
      runs(100),
    );
  });

  it('holds every lane within a sequence of what the weights make due, at every step, where sequences are full', async () => {
    const worst = await worstShare(runs(150), 'none', 'fixed');
    console.log(`at most ${worst.toFixed(3)} sequences from what was due`);
    expect(worst).toBeLessThan(1);
  });

  it('… and within two where the weights change: several sources may be behind when their weights grow', async () => {
    const worst = await worstShare(runs(100), 'none', 'changing');
    console.log(`at most ${worst.toFixed(3)} sequences from what was due`);
    expect(worst).toBeLessThan(2);
  });

  it('… and within two where some are padded', async () => {
    const worst = await worstShare(runs(100), 'concat', 'changing');
    console.log(`at most ${worst.toFixed(3)} sequences from what was due`);
    expect(worst).toBeLessThan(2);
  });

  it('refuses states that do not belong together, or to this run, in Node as in Python', async () => {
    const sets: { readonly cursors: readonly Cursor[]; readonly node: unknown }[] = [];
    const add = (cursors: readonly Cursor[]): string | undefined => {
      const [node, code] = outcome(() => mergeCursors(cursors));
      sets.push({ cursors, node });
      return code;
    };
    await fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const { checkpoints, product } = await play(story);
        for (const cursors of checkpoints) {
          const [first, ...rest] = cursors;
          expect(cursors.map((cursor) => parseCursor(JSON.parse(JSON.stringify(cursor))))).toEqual(cursors);
          expect(add(cursors)).toBeUndefined();
          const later = { ...first, step: first.step + 1 };
          const [lane, state] = Object.entries(first.lanes)[0];
          const [name, [group, ...position]] = Object.entries(state)[0];
          const moved = { ...first, lanes: { ...first.lanes, [lane]: { ...state, [name]: [group + 1, ...position] } } } as Cursor;
          const changed = { ...first, mixture: [...first.mixture, { at: 0, ramp: 0, weights: { a: 5 } }] };
          const foreign = { ...first, plan: { ...first.plan, seed: -1 } };
          for (const other of [later, moved, changed, foreign]) expect(add([first, other])).toBe('CURSOR_MISMATCH');
          const { [lane]: _left, ...others } = first.lanes;
          const partial = { ...first, lanes: others };
          expect(add([partial, ...rest.map((cursor) => ({ ...cursor, lanes: withoutLane(cursor, lane) })), partial])).toBe(
            'CURSOR_MISMATCH',
          );
          // alone, too: of a lane that the rank needs, of a source
          const machine = new Machine(story, product, new Scheduler(0));
          const open = (cursor: unknown): unknown => machine.open({ rank: 0, worldSize: 1 }, [parseCursor(cursor)]);
          const { [name]: _source, ...sources } = state;
          const whole = mergeCursors(cursors);
          for (const [bad, code] of [
            [{ ...whole, lanes: withoutLane(whole, lane) }, 'CURSOR_MISMATCH'],
            [{ ...whole, lanes: { ...whole.lanes, [lane]: sources } }, 'CURSOR_MISMATCH'],
            [{ ...whole, plan: foreign.plan }, 'CURSOR_MISMATCH'],
            [{ ...whole, version: 3 }, 'CURSOR_INVALID'],
            [{ ...whole, lanes: undefined }, 'CURSOR_INVALID'],
          ] as const)
            expect(() => open(bad)).toThrow(expect.objectContaining({ code }));
          machine.kill();
          expect(() => checkCursorPlan(first, { ...first.plan, more: 1 })).toThrow(expect.objectContaining({ code: 'CURSOR_MISMATCH' }));
        }
      }),
      runs(60),
    );
    expect(sets.length).toBeGreaterThan(0);
    if (PYTHON === undefined) return;
    const program = [
      'import json, sys',
      'from headrace import HeadraceError, merge_state',
      'def outcome(states):',
      '    try: return merge_state(states)',
      '    except HeadraceError as error: return error.code',
      'print(json.dumps([outcome(states) for states in json.load(sys.stdin)]))',
    ].join('\n');
    const env = { ...process.env, PYTHONPATH: PYTHON_SOURCES };
    const answer = execFileSync(PYTHON, ['-c', program], { env, input: JSON.stringify(sets.map(({ cursors }) => cursors)) });
    expect(JSON.parse(answer.toString())).toEqual(JSON.parse(JSON.stringify(sets.map(({ node }) => node))));
  });

  it('finds the rows of a source that has fewer of them than lanes, though a lane may meet the empty ones time and again', async () => {
    const rows = [[0], [3], [0], [0]].map((tokens) => [{ bytes: 1, rows: tokens }]);
    const source = { name: 'a', weight: 1, epochs: undefined, maxTokens: undefined, whenUsedUp: 'drop' as const, shards: rows };
    const plan: ReferencePlan = {
      seed: 1,
      lanes: 8,
      batch: 8,
      length: 4,
      last: 'drop',
      packing: 'concat',
      shuffleBlocks: 2,
      windowBytes: 65536,
      changes: [],
      sources: [source],
    };
    const phase: Phase = { world: 1, machines: 2, steps: 40, checkpoint: 50, trainerDeaths: 0, machineDeaths: 30, timing: 3 };
    const { batches } = await play({ plan, live: [], phases: [phase, phase] });
    expect(batches).toBeGreaterThan(80);
  });

  it('has the same end for whoever resumes behind a padded step, though a weight comes back there', async () => {
    const source = { epochs: 1, maxTokens: undefined, whenUsedUp: 'drop' as const, shards: [[{ bytes: 1, rows: [2] }]] };
    const sources = [{ ...source, name: 'a', weight: 1 }, { ...source, name: 'b', weight: 0 }]; // prettier-ignore
    const changes = [{ at: 1, ramp: 0, weights: { b: 1 } }];
    const sizes = { seed: 0, lanes: 1, batch: 2, length: 2, shuffleBlocks: 2, windowBytes: 65536 };
    const plan: ReferencePlan = { ...sizes, last: 'pad', packing: 'concat', changes, sources };
    const phase: Phase = { world: 0, machines: 1, steps: 9, checkpoint: 50, trainerDeaths: 0, machineDeaths: 0, timing: 0 };
    const { batches, checkpoints } = await play({ plan, live: [], phases: [phase, phase] });
    // two steps, and the second again
    expect([checkpoints[0][0].step, batches]).toEqual([1, 3]);
  });
});

/** In sequences, over all sources, lanes and sequences of random mixtures without an end: delivered tokens from tokens due. */
async function worstShare(
  parameters: ReturnType<typeof runs>,
  packing: 'none' | 'concat',
  weighing: 'fixed' | 'changing',
): Promise<number> {
  let worst = 0;
  await fc.assert(
    fc.asyncProperty(stories, async (story) => {
      const { length, lanes } = story.plan;
      const tokensOf = (tokens: number): number => (packing === 'none' ? length : Math.max(1, tokens));
      const sources = story.plan.sources.map((source) => ({
        ...source,
        epochs: undefined,
        maxTokens: undefined,
        whenUsedUp: 'drop' as const,
        shards: source.shards.map((units) => units.map(({ bytes, rows }) => ({ bytes, rows: rows.map(tokensOf) }))),
      }));
      const changing = weighing === 'changing';
      const plan: ReferencePlan = { ...story.plan, packing, sources, changes: changing ? story.plan.changes : [] };
      const one: Phase = { world: 0, machines: 1, steps: 40, checkpoint: 0, trainerDeaths: 0, machineDeaths: 0, timing: plan.seed };
      const offs = Array.from({ length: lanes }, () => sources.map(() => 0));
      const endless: Story = { plan, live: changing ? story.live : [], phases: [one] };
      await play(endless, {
        onBatch: ({ step, rows, segments, cuSeqlens }) => {
          const names = sources.map(({ name }) => name);
          const weights = weightsAt(names, sources.map(({ weight }) => weight), plan.changes, step); // prettier-ignore
          const sum = weights.reduce((total, weight) => total + weight, 0);
          for (let slot = 0; slot < rows; slot++) {
            const own = offs[slot % lanes];
            for (let i = 0; i < cuSeqlens.length - 1; i++) {
              const [source, tokens] = [segments[6 * i], segments[6 * i + 4]];
              if (Math.floor(cuSeqlens[i] / length) !== slot || source < 0) continue;
              own[source] += tokens;
              for (const [j, weight] of weights.entries()) own[j] -= (tokens * weight) / sum;
            }
            worst = Math.max(worst, ...own.map((off) => Math.abs(off) / length));
          }
        },
      });
    }),
    parameters,
  );
  return worst;
}

function withoutLane({ lanes }: Cursor, lane: string): Cursor['lanes'] {
  return Object.fromEntries(Object.entries(lanes).filter(([name]) => name !== lane));
}

/** What came out, or the code of the error; and the code alone. */
function outcome(work: () => unknown): readonly [unknown, string | undefined] {
  try {
    return [work(), undefined];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    return [error.code, error.code];
  }
}
