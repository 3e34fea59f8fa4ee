import { connect, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, startSidecar, type SidecarProcess } from '../support/sidecar.js';
import { runCommand } from '../support/commands.js';
import { take, takeAndClose } from '../support/streams.js';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

/** Sources whose documents are their source's number, over and over: 1, 2 and 3. */
const SOURCES = ['a', 'b', 'c'] as const;
const ROWS = 240;
const LENGTH = 16;
const LANES = 2;
const SIZE = 4;
const PAD = 9;

describe('mixtures', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (const [index, name] of SOURCES.entries()) {
      const rows = Array.from({ length: ROWS }, (_, row) => new Array<number>(1 + ((row * 7) % 23)).fill(index + 1));
      await writeParquet(workspace.path(name), rows, 4);
    }
  });
  afterAll(() => workspace.remove());

  type Sources = Record<string, Partial<ConfigInput['sources'][string]>>;
  const config = (sources: Sources, more: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 3,
    sources: Object.fromEntries(
      Object.entries(sources).map(([name, keys]) => [name, { uri: workspace.path(`${name}/`), tokens: 'ids', ...keys }]),
    ),
    sequence: { length: LENGTH, padId: PAD },
    batch: { size: SIZE, lanes: LANES },
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...more,
  });

  it('delivers each source up to its own end, and renormalises the others: every row as often as it should be', async () => {
    const batches = await run(config({ a: { epochs: 1 }, b: { epochs: 2 }, c: { epochs: 1, weight: 3 } }, { last: 'pad' }));
    expect(documentsOf(batches)).toEqual([ROWS, 2 * ROWS, ROWS]);
  });

  it('ends with a source that stops the others', async () => {
    const batches = await run(config({ a: { epochs: 1, whenUsedUp: 'stop' }, b: { weight: 2 } }, { last: 'pad' }));
    const [a, b] = documentsOf(batches);
    expect(a).toBe(ROWS);
    // twice the tokens of a, but for a sequence a lane
    const tokens = tokensOf(batches);
    expect(Math.abs(tokens[1] - 2 * tokens[0])).toBeLessThanOrEqual(3 * LANES * LENGTH);
    expect(b).toBeGreaterThan(ROWS);
  });

  it('repeats a source until those that have an end are used up', async () => {
    const batches = await run(
      config({ a: { weight: 3 }, b: { weight: 1 }, c: { whenUsedUp: 'repeat', weight: 9 } }, { epochs: 1, last: 'pad' }),
    );
    const [a, b, c] = documentsOf(batches);
    expect([a, b]).toEqual([ROWS, ROWS]);
    expect(c).toBeGreaterThan(2 * ROWS);
  });

  it('ends a source with the sequences that reach its tokens', async () => {
    const batches = await run(config({ a: { maxTokens: 600 }, b: { epochs: 1 } }, { last: 'pad' }));
    const [a, b] = tokensOf(batches);
    expect(a).toBeGreaterThanOrEqual(600);
    expect(a).toBeLessThan(600 + LANES * LENGTH);
    expect(documentsOf(batches)[1]).toBe(ROWS);
    expect(b).toBeGreaterThan(a);
  });

  it('follows a schedule within one sequence a lane, at every step, and resumes at every step of it', async () => {
    const scheduled = config(
      { a: { weight: 1 }, b: { weight: 1 }, c: { weight: 0 } },
      {
        mixture: [
          { at: 10, weights: { a: 8, b: 1, c: 1 } },
          { at: 20, weights: { a: 0, c: 9 }, ramp: 10 },
        ],
      },
    );
    const pipeline = await openPipeline(scheduled);
    try {
      const batches = await take(pipeline.batches(), 50);
      const delivered = [0, 0, 0];
      const due = [0, 0, 0];
      for (const batch of batches) {
        const tokens = tokensOf([batch]);
        const weights = expectedWeights(batch.step);
        const sum = weights.reduce((total, weight) => total + weight, 0);
        for (let i = 0; i < 3; i++) {
          delivered[i] += tokens[i];
          due[i] += (weights[i] / sum) * batch.tokens;
          // windows end in padded sequences, which count for less
          expect(Math.abs(delivered[i] - due[i]), `source ${SOURCES[i]} after step ${batch.step}`).toBeLessThan(1.5 * LANES * LENGTH);
        }
      }
      expect(tokensOf(batches.slice(0, 10))[2]).toBe(0);
      expect(tokensOf(batches.slice(35))[0]).toBe(0);
      for (let step = 0; step < 48; step++) {
        const next = await take(pipeline.batches({ cursor: batches[step].cursor }), 2);
        expect(next.map(({ digest, cursor }) => [digest, cursor])).toEqual(
          batches.slice(step + 1, step + 3).map(({ digest, cursor }) => [digest, cursor]),
        );
      }
    } finally {
      await pipeline.close();
    }
  });

  it('a source may be smaller than the number of lanes', async () => {
    await writeParquet(workspace.path('tiny'), [[1, 1, 1]], 1);
    const batches = await run(config({ tiny: {}, b: {} }, { epochs: 1, last: 'pad', batch: { size: 8, lanes: 8 } }));
    expect(documentsOf(batches).slice(0, 2)).toEqual([ROWS, 1]);
  });

  it.each([
    [{ a: { weight: 0 } }, {}, /weight above 0/],
    [{ a: { whenUsedUp: 'repeat', epochs: 2 } }, {}, /neither epochs nor maxTokens/],
    [{ a: {} }, { mixture: [{ at: 3, weights: { b: 1 } }] }, /no such source/],
    [
      { a: {}, b: {} },
      {
        mixture: [
          { at: 3, weights: { b: 0 } },
          { at: 5, weights: { a: 0 } },
        ],
      },
      /after step 5 no source/,
    ],
  ] as const)('refuses %j with %j', async (sources, more, message) => {
    await expect(openPipeline(config(sources as Sources, more as Partial<ConfigInput>))).rejects.toThrow(message);
  });

  it('changes while it runs, on two machines at the same step, and a restart of one takes the same change', async () => {
    const file = await workspace.config('live.yaml', config({ a: {}, b: {} }, { run: { dir: workspace.path('run') } }));
    const addresses = [0, 1].map((machine) => `ipc://${workspace.path(`m${machine}.sock`)}`);
    const sidecars: SidecarProcess[] = await Promise.all(addresses.map((address) => startSidecar(file, { address })));
    const clients = addresses.map((address, rank) => connect({ address, rank, worldSize: 2, prefetch: 1 }));
    const streams: Batch[][] = [[], []];
    const step = async (): Promise<void> => {
      for (const [rank, client] of clients.entries()) {
        const batch = await client.next();
        if (batch === undefined) throw new Error('the stream has no end');
        streams[rank].push(batch);
      }
    };
    try {
      for (let i = 0; i < 5; i++) await step();
      const late = await runCommand(['mix', addresses[0], '--at', '3', 'a=9']);
      expect(late.err).toMatch(/MIXTURE_REFUSED.*step 3 may have been made already/);
      expect(late.code).toBe(1);
      const { out, err, code } = await runCli(['mix', addresses[1], '--at', '+10', 'a=9', 'b=1', '--json']);
      expect(code, err).toBe(0);
      const { at } = JSON.parse(out) as { at: number };
      while (streams[0].length < at - 2) await step();
      await sidecars[0].end('SIGKILL');
      sidecars[0] = await startSidecar(file, { address: addresses[0] });
      while (streams[0].length < at + 30) await step();
      const shareOfA = (batches: readonly Batch[]): number => {
        const [a, b] = tokensOf(batches);
        return a / (a + b);
      };
      const global = (from: number, to: number): Batch[] => streams.flatMap((stream) => stream.slice(from, to));
      expect(shareOfA(global(0, at))).toBeCloseTo(0.5, 1);
      expect(shareOfA(global(at, at + 30))).toBeCloseTo(0.9, 1);
      // the log is in the cursor: a replay elsewhere, without the directory, sees the same change
      const { cursor } = streams[0][at + 10];
      expect(cursor.mixture).toEqual([{ at, weights: { a: 9, b: 1 }, ramp: 0 }]);
      const elsewhere = await openPipeline(config({ a: {}, b: {} }));
      const cursors = streams.map((stream) => stream[at + 10].cursor);
      const [next] = await take(elsewhere.batches({ cursor: cursors, rank: 1, worldSize: 2 }), 1);
      await elsewhere.close();
      expect(next.digest).toBe(streams[1][at + 11].digest);
    } finally {
      for (const client of clients) client.close();
      await Promise.all(sidecars.map((sidecar) => sidecar.end('SIGKILL')));
    }
  }, 60_000);

  it('says that a run without a directory cannot be changed', async () => {
    const pipeline = await openPipeline(config({ a: {} }));
    expect(() => pipeline.changeMixture({ at: { after: 0 }, weights: { a: 1 }, ramp: 0 })).toThrow(/run.dir/);
    await pipeline.close();
  });
});

function expectedWeights(step: number): number[] {
  if (step < 10) return [1, 1, 0];
  if (step < 20) return [8, 1, 1];
  const part = Math.min(1, (step - 19) / 10);
  return [8 - 8 * part, 1, 1 + 8 * part];
}

async function run(input: ConfigInput): Promise<Batch[]> {
  return takeAndClose(await openPipeline(input));
}

/** Whole documents of each source: their last segments. */
function documentsOf(batches: readonly Batch[]): number[] {
  const counts = [0, 0, 0];
  for (const { segments } of batches)
    for (let i = 0; i < segments.length; i += 6) if (segments[i] >= 0 && (segments[i + 5] & 2) !== 0) counts[segments[i]]++;
  return counts;
}

/** Tokens of each source. */
function tokensOf(batches: readonly Batch[]): number[] {
  const counts = [0, 0, 0];
  for (const { segments } of batches)
    for (let i = 0; i < segments.length; i += 6) if (segments[i] >= 0) counts[segments[i]] += segments[i + 4];
  return counts;
}
