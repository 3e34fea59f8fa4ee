import fc from 'fast-check';
import { appendFile, mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cursorFromLedger, readSegment, type LedgerEvent } from '../../src/ledger/read-ledger.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';
import { chainOf, forge, LANES, madeStep, openTestLedger, PLAN, segmentsOf, standing, writeSteps } from './support.js';

describe('a ledger', () => {
  let workspace: Workspace;
  let dir: string;

  beforeEach(async () => {
    workspace = await makeWorkspace();
    dir = workspace.path('ledger');
  });
  afterEach(() => workspace.remove());

  const eventsOf = async (file: string): Promise<LedgerEvent[]> => {
    const events: LedgerEvent[] = [];
    for await (const event of readSegment(file)) events.push(event);
    return events;
  };

  it('holds a step before the stream gets it', async () => {
    const ledger = await openTestLedger(dir);
    const stream = ledger.openStream();
    for (let step = 0; step < 5; step++) {
      await stream.record(madeStep(step));
      const [file] = await segmentsOf(dir);
      const steps = (await eventsOf(file)).filter(({ kind }) => kind === 'step');
      expect(steps).toHaveLength(step + 1);
    }
    await ledger.close();
  });

  it('gives the cursor before any step, from lanes that several processes made', async () => {
    await Promise.all([writeSteps(dir, 0, 40, [0]), writeSteps(dir, 0, 38, [1])]);
    await writeSteps(dir, 38, 60);
    for (const step of [0, 1, 37, 38, 39, 60]) {
      expect(await cursorFromLedger(dir, step)).toEqual({ version: 2, step, plan: PLAN, mixture: [], lanes: standing(step, [0, 1]) });
    }
    await expect(cursorFromLedger(dir, 61)).rejects.toThrow(/does not hold step 61: it has steps 0 to 60/);
    await expect(cursorFromLedger(dir, 5, { plan: { ...PLAN, seed: 2 } })).rejects.toThrow(/another plan: seed is 1 there, not 2/);
    expect(await chainOf(dir)).toEqual({ problems: [], ends: [60, 60] });
  });

  it('keeps changes of weights with the steps that they touch', async () => {
    const change = { at: 2, weights: { a: 3 }, ramp: 0 };
    const ledger = await openTestLedger(dir);
    const stream = ledger.openStream();
    for (let step = 0; step < 5; step++) {
      const { before, after, ...made } = madeStep(step);
      const with_ = (state: typeof before, at: number): typeof before => ({ ...state, mixture: at > 2 ? [change] : [] });
      await stream.record({ ...made, before: with_(before, step), after: with_(after, step + 1) });
    }
    await ledger.close();
    expect((await cursorFromLedger(dir, 2)).mixture).toEqual([]);
    expect((await cursorFromLedger(dir, 3)).mixture).toEqual([change]);
    expect((await cursorFromLedger(dir, 5)).mixture).toEqual([change]);
    await writeSteps(dir, 3, 5); // as if nothing had changed
    expect((await chainOf(dir)).problems[0]).toMatch(/weights before step 3 were changed otherwise/);
  });

  it('ends a segment at its size, and the next one says all that is needed', async () => {
    const ledger = await openTestLedger(dir, { limits: { segmentBytesMax: 1000 } });
    const streams = [ledger.openStream(), ledger.openStream()];
    for (let step = 0; step < 40; step++) {
      await Promise.all(streams.map((stream, lane) => stream.record(madeStep(step, [lane]))));
    }
    await ledger.close();
    const files = await segmentsOf(dir);
    expect(files.length).toBeGreaterThan(5);
    expect(await chainOf(dir)).toEqual({ problems: [], ends: [40, 40] });
    // each by itself
    for (const file of files) expect((await eventsOf(file)).some(({ kind }) => kind === 'step')).toBe(true);
    await rm(files[3]);
    expect((await chainOf(dir)).problems[0]).toMatch(/missing in lane 0: it was made before, and after/);
  });

  it('is whole up to the last line wherever it is torn', async () => {
    await writeSteps(dir, 0, 2);
    const [file] = await segmentsOf(dir);
    const bytes = await readFile(file);
    const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
    for (let length = bytes.length; length >= 0; length--) {
      await writeFile(file, bytes.subarray(0, length));
      const events = await eventsOf(file);
      const lines = ends.filter((end) => end <= length).length;
      expect(events.at(-1)).toEqual({ kind: 'end', lines, tornBytes: length - (ends[lines - 1] ?? 0) });
      expect(events).toHaveLength(lines + 1);
    }
  });

  it('ignores zeros that a power cut leaves at its end', async () => {
    await writeSteps(dir, 0, 6);
    const [file] = await segmentsOf(dir);
    await appendFile(file, Buffer.alloc(4096));
    expect((await chainOf(dir)).ends).toEqual([6, 6]);
  });

  it('shows every flipped bit, unless the flip tears the last line off', async () => {
    await writeSteps(dir, 0, 1);
    const [file] = await segmentsOf(dir);
    const bytes = await readFile(file);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] ^= 1 << (at % 8);
      await writeFile(file, flipped);
      if (at === bytes.length - 1) {
        const isLast = flipped[at] !== 10;
        expect(isLast && (await eventsOf(file)).at(-1)).toMatchObject({ kind: 'end', lines: 2 });
        continue;
      }
      await expect(eventsOf(file), `byte ${at}`).rejects.toMatchObject({ code: 'LEDGER_INVALID' });
    }
  });

  it('shows a line that was taken out, moved, or brought from another segment', async () => {
    await writeSteps(dir, 0, 6);
    const [file] = await segmentsOf(dir);
    const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
    const written = async (changed: readonly string[]): Promise<unknown> => {
      await writeFile(file, changed.map((line) => `${line}\n`).join(''));
      return eventsOf(file);
    };
    await expect(written(lines.toSpliced(3, 1))).rejects.toThrow(/line 4 of .* is damaged/);
    await expect(written([...lines.slice(0, 3), lines[4], lines[3], ...lines.slice(5)])).rejects.toThrow(/line 4/);
    await writeFile(file, lines.map((line) => `${line}\n`).join(''));
    await writeSteps(dir, 6, 9);
    const [, other] = await segmentsOf(dir);
    const theirs = (await readFile(other === file ? (await segmentsOf(dir))[0] : other, 'utf8')).split('\n');
    await expect(written([...lines, theirs[2]])).rejects.toThrow(/line 9/);
  });

  it('accepts steps that are made again, and refuses those that differ', async () => {
    await writeSteps(dir, 0, 20);
    await writeSteps(dir, 7, 25);
    expect(await chainOf(dir)).toEqual({ problems: [], ends: [25, 25] });
    const [, file] = await segmentsOf(dir);
    await forge(file, (line) =>
      line.type === 'step' && line.step === 9
        ? { ...line, lanes: { ...line.lanes, 1: ['AAAAAAAAAAAAAAAAAAAAAA', ...line.lanes[1].slice(1)] } as typeof line.lanes }
        : line,
    );
    expect((await chainOf(dir)).problems).toEqual([expect.stringMatching(/step 9 was made twice, differently: lane 1/)]);
  });

  it('shows a position that was moved: the next stream does not stand there, or the lane goes back', async () => {
    await writeSteps(dir, 0, 10);
    await writeSteps(dir, 10, 20);
    const [file] = await segmentsOf(dir);
    const moved = (step: number) => (line: Parameters<Parameters<typeof forge>[1]>[0]) =>
      line.type === 'step' && line.step === step
        ? { ...line, lanes: { ...line.lanes, 0: [line.lanes[0][0], [0, 0, 49, 0, 999, 0], line.lanes[0][2]] } as typeof line.lanes }
        : line;
    const first = (await eventsOf(file)).find(({ kind }) => kind === 'start');
    const last = first?.kind === 'start' && first.step === 0 ? file : (await segmentsOf(dir))[1];
    const good = await readFile(last);
    await forge(last, moved(9));
    expect((await chainOf(dir)).problems.join('\n')).toMatch(/chain is broken at step 10: lane 0/);
    await writeFile(last, good);
    await forge(last, moved(4));
    expect((await chainOf(dir)).problems.join('\n')).toMatch(/step 5 moves lane 0 of a back/);
    // by what the next step delivers, to where that one ends: nobody goes back
    await forge(last, (line) =>
      line.type === 'step' && line.step === 4
        ? { ...line, lanes: { ...line.lanes, 0: [line.lanes[0][0], [0, 0, 8, 0, 112, 35], line.lanes[0][2]] } as typeof line.lanes }
        : line,
    );
    expect((await chainOf(dir)).problems).toEqual([
      expect.stringMatching(/step 5 delivers 16 tokens of a in lane 0, which stands at \[0,0,8,/),
    ]);
  });

  it('shows a lane that is missing, and more tokens than a step holds', async () => {
    await writeSteps(dir, 0, 5, [0]);
    expect((await chainOf(dir)).problems).toEqual(['no step of lane 1 is in any segment']);
    const ledger = await openTestLedger(dir);
    const made = madeStep(0, [1]);
    await ledger.openStream().record({ ...made, after: { lanes: standing(3, [1]), mixture: [] } });
    await ledger.close();
    expect((await chainOf(dir)).problems).toEqual([expect.stringMatching(/step 0 delivers 96 tokens, and has room for 32/)]);
  });

  it('goes on without a directory that fails, says so once, and declares what is missing when it works again', async () => {
    await writeFile(dir, 'a file where the directory should be');
    const warnings: string[] = [];
    const ledger = await openTestLedger(dir, { warn: (message) => warnings.push(message), limits: { retryMs: 20 } });
    const stream = ledger.openStream();
    for (let step = 0; step < 5; step++) await stream.record(madeStep(step));
    await new Promise((resolve) => setTimeout(resolve, 30));
    await stream.record(madeStep(5)); // tries, and fails
    expect(ledger.counters).toEqual({ steps: 0, bytes: 0, lost: 6 });
    await rm(dir);
    await mkdir(dir);
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (let step = 6; step < 9; step++) await stream.record(madeStep(step));
    await ledger.close();
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/cannot be written \(.*\): the run goes on without/);
    const [file] = await segmentsOf(dir);
    const [, gap] = await eventsOf(file);
    expect(gap).toMatchObject({ kind: 'gap', gap: { steps: 6, skips: 0, firstStep: 0, lastStep: 5 } });
    expect((await chainOf(dir)).ends).toEqual([9, 9]);
  });

  it('does not stop steps for a write that hangs, keeps a bounded number of lines, and declares the others', async () => {
    const warnings: string[] = [];
    const ledger = await openTestLedger(dir, {
      warn: (message) => warnings.push(message),
      limits: { writeWaitMs: 50, bufferBytesMax: 2000 },
    });
    const stream = ledger.openStream();
    for (let step = 0; step < 3; step++) await stream.record(madeStep(step));
    const any = await open(workspace.path('any'), 'w');
    const prototype = Object.getPrototypeOf(any) as typeof any;
    await any.close();
    const release: (() => void)[] = [];
    const { writeFile: write } = prototype;
    const spy = vi.spyOn(prototype, 'writeFile').mockImplementation(async function (this: typeof any, ...args) {
      await new Promise<void>((resolve) => void release.push(resolve));
      await write.apply(this, args);
    });
    try {
      for (let step = 3; step < 60; step++) await stream.record(madeStep(step));
      expect(warnings).toEqual([expect.stringMatching(/takes more than 50 ms: steps are served meanwhile/)]);
      expect(ledger.counters.steps).toBe(3);
      expect(ledger.counters.lost).toBeGreaterThan(30);
    } finally {
      spy.mockRestore();
      release.forEach((resolve) => resolve());
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let step = 60; step < 70; step++) await stream.record(madeStep(step));
    await ledger.close();
    const { steps, lost } = ledger.counters;
    expect(steps + lost).toBe(70);
    const files = await segmentsOf(dir);
    expect(files).toHaveLength(2);
    const [, gap] = await eventsOf(files[1]);
    expect(gap).toMatchObject({ kind: 'gap', gap: { steps: lost, lastStep: 59, firstStep: 60 - lost } });
    expect((await chainOf(dir)).problems).toHaveLength(LANES);
    await writeSteps(dir, 0, 70); // the steps that were lost, made again
    expect(await chainOf(dir)).toEqual({ problems: [], ends: [70, 70] });
  });

  it('after kills at random places never says what is wrong, and never hides what is missing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            back: fc.nat(8),
            steps: fc.integer({ min: 1, max: 12 }),
            tornBytes: fc.nat(900),
            lanes: fc.constantFrom<readonly number[]>([0, 1], [0], [1]),
          }),
          {
            minLength: 1,
            maxLength: 6,
          },
        ),
        async (lives) => {
          const own = workspace.path(`run-${Math.floor(performance.now() * 1e6)}`);
          // by lane: which steps are on disk
          const held = [new Set<number>(), new Set<number>()];
          let reached = 0;
          for (const { back, steps, tornBytes, lanes } of lives) {
            const before = new Set(await segmentsOf(own).catch(() => []));
            const start = Math.max(0, reached - back);
            await writeSteps(own, start, start + steps, lanes);
            const file = (await segmentsOf(own)).find((name) => !before.has(name))!;
            const { length } = await readFile(file);
            await truncate(file, Math.max(0, length - tornBytes));
            let count = 0;
            for (const event of await eventsOf(file)) if (event.kind === 'step') count++;
            for (let i = 0; i < count; i++) for (const lane of lanes) held[lane].add(start + i);
            reached = start + steps;
          }
          const { problems } = await chainOf(own);
          const missing = held.some((steps) => steps.size === 0 || steps.size !== Math.max(...steps) - Math.min(...steps) + 1);
          expect(problems.length > 0, problems.join('\n')).toBe(missing);
          if (missing) expect(problems.join('\n')).toMatch(/missing in lane|is in any segment/);
          await rm(own, { recursive: true });
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  it('takes no memory for a step that cannot be', async () => {
    await writeSteps(dir, 0, 3);
    const [file] = await segmentsOf(dir);
    await forge(file, (line) => (line.type === 'start' ? { ...line, step: 2 ** 50 } : line));
    await expect(chainOf(dir)).rejects.toThrow(/line 2 of .* is damaged: there is no step/);
  });

  it('takes nothing once it is closed: a row that is found bad then is found again by whoever goes on', async () => {
    const ledger = await openTestLedger(dir);
    const stream = ledger.openStream();
    await stream.record(madeStep(0));
    await ledger.close();
    const before = await Promise.all((await segmentsOf(dir)).map((file) => readFile(file, 'utf8')));
    ledger.skip({ source: 'a', uri: 'a.parquet', startRow: 3, endRow: 4, reason: 'bad-row', problem: 'no text' });
    await stream.record(madeStep(1));
    await ledger.close();
    expect(await Promise.all((await segmentsOf(dir)).map((file) => readFile(file, 'utf8')))).toEqual(before);
    expect(ledger.counters).toMatchObject({ steps: 1, lost: 0 });
  });

  it('names its segments so that no two processes share one', async () => {
    await Promise.all(Array.from({ length: LANES * 4 }, (_, i) => writeSteps(dir, i * 3, i * 3 + 3)));
    const names = (await segmentsOf(dir)).map((file) => path.basename(file));
    expect(new Set(names).size).toBe(LANES * 4);
    expect(names.every((name) => /^\d{8}T\d{6}Z-[0-9a-f]{8}-000000\.ledger$/.test(name))).toBe(true);
    expect((await chainOf(dir)).problems).toEqual([]);
  });
});
