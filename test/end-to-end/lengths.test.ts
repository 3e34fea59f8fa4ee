import { connect, openPipeline, type Batch, type ConfigInput, type Cursor, type Pipeline } from 'headrace';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import type { AuditReport } from '../../src/auditing.js';
import { LengthsBuilder } from '../../src/stream/lengths.js';
import { saveLengths } from '../../src/stream/saved-lengths.js';
import { runCommand } from '../support/commands.js';
import { expectEqual } from '../support/equal.js';
import { startSidecar } from '../support/sidecar.js';
import { digestsOf, take } from '../support/streams.js';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const LANES = 4;
const SIZE = 8;
const LENGTH = 16;
const PARTS = [1, 2, 4] as const;

/** Several sidecars are several pipelines, which share nothing but the data and the file of lengths. */
describe('a run whose lengths are known', { timeout: 300_000 }, () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    // the last groups are much larger than the others, so that lanes are uneven
    const rows = Array.from({ length: 220 }, (_, row) =>
      new Array<number>(1 + ((row * 7) % 23) * (row % 11 === 0 ? 6 : 1)).fill(row % 900),
    );
    await writeParquet(workspace.path('a'), rows, 7);
    await writeParquet(workspace.path('b'), rows.slice(0, 90), 3);
    await writeParquet(workspace.path('c'), rows.slice(0, 40), 2);
    const documents = sampleDocuments(400).map((document) => ({ ...document, text: document.text.slice(0, 2_000) }));
    await writeShards(workspace.path('data'), documents, 8, 10);
  });
  afterAll(() => workspace.remove());

  /** `a` ends, `b` ends sooner, and `c` does not: its weight is raised on the way. */
  const mixed = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 3,
    sources: {
      a: { uri: workspace.path('a/'), tokens: 'ids', epochs: 2, weight: 3 },
      b: { uri: workspace.path('b/'), tokens: 'ids', epochs: 1, weight: 2 },
      c: { uri: workspace.path('c/'), tokens: 'ids', whenUsedUp: 'repeat', weight: 0.5 },
    },
    mixture: [{ at: 20, weights: { c: 1 }, ramp: 10 }],
    sequence: { length: LENGTH, padId: 9 },
    batch: { size: SIZE, lanes: LANES },
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  });

  const withLengths = async (name: string, input: ConfigInput, ...more: string[]): Promise<ConfigInput> => {
    const file = await workspace.config(`${name}.yaml`, input);
    const { code, out, err } = await runCommand(['index', file, '--lengths', '--out', workspace.path(name), '--json', ...more]);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out.trim().split('\n').at(-1)!)).toMatchObject({ file: workspace.path(name, 'run.lengths') });
    return { ...input, lengths: workspace.path(name, 'run.lengths') };
  };

  /** Sidecars, for as long as they are needed. */
  const onMachines = async <Result>(
    input: ConfigInput,
    machines: number,
    use: (pipelines: readonly Pipeline[]) => Promise<Result>,
  ): Promise<Result> => {
    const opened = await Promise.allSettled(Array.from({ length: machines }, () => openPipeline(input)));
    const pipelines = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    try {
      for (const result of opened) if (result.status === 'rejected') throw result.reason;
      return await use(pipelines);
    } finally {
      await Promise.all(pipelines.map((pipeline) => pipeline.close()));
    }
  };
  /** Of each rank: rank r asks machine r mod M. */
  const ranksOf = (pipelines: readonly Pipeline[], worldSize: number, cursor: readonly Cursor[] = []): Promise<Batch[][]> => {
    const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
    return Promise.all(ranks.map((rank) => take(pipelines[rank % pipelines.length].batches({ rank, worldSize, cursor }))));
  };
  const streamsOf = (input: ConfigInput, machines: number, worldSize: number): Promise<Batch[][]> =>
    onMachines(input, machines, (pipelines) => ranksOf(pipelines, worldSize));

  it.each(['drop', 'pad'] as const)('is the same stream, on 1, 2 and 4 machines with 1, 2 and 4 ranks: last %s', async (last) => {
    const input = mixed({ last });
    const measured = await withLengths(`mixed-${last}`, input);
    const expected = await onMachines(input, 1, async (pipelines) => {
      const streams = new Map<number, Batch[][]>();
      for (const worldSize of PARTS) streams.set(worldSize, await ranksOf(pipelines, worldSize));
      return streams;
    });
    const [whole] = expected.get(1)!;
    expect(whole.length).toBeGreaterThan(60);
    const middle = Math.floor(whole.length * 0.8);
    await onMachines(measured, 4, async (pipelines) => {
      for (const machines of PARTS) {
        for (const worldSize of PARTS.filter((size) => size >= machines)) {
          const own = pipelines.slice(0, machines);
          const streams = await ranksOf(own, worldSize);
          expectEqual(streams, expected.get(worldSize)!);
          // goes on near the end, in another number of ranks, from the states that these have
          const after = PARTS[(PARTS.indexOf(worldSize) + 1) % PARTS.length];
          const cursors = streams.map((stream) => JSON.parse(JSON.stringify(stream[middle - 1].cursor)) as Cursor);
          const rest = expected.get(after)!.map((stream) => stream.slice(middle));
          expectEqual(await ranksOf(own, after, cursors), rest);
        }
      }
    });
  });

  it('is served by several sidecars, whose trainers all end after the same step', async () => {
    const input = mixed({ last: 'pad' });
    const file = await workspace.config('served.yaml', await withLengths('served', input));
    const addresses = [0, 1].map((machine) => `ipc://${workspace.path(`served-${machine}.sock`)}`);
    const sidecars = await Promise.all(addresses.map((address) => startSidecar(file, { address })));
    try {
      const served = await Promise.all(addresses.map((address, rank) => take(connect({ address, rank, worldSize: 2 }))));
      const expected = await streamsOf(input, 1, 2);
      expect(served.map(digestsOf)).toEqual(expected.map(digestsOf));
      expect(served[1].at(-1)?.cursor).toEqual(expected[1].at(-1)?.cursor);
    } finally {
      await Promise.all(sidecars.map((sidecar) => sidecar.end()));
    }
  });

  it('lets each machine read and tokenize its own lanes, and of the others what fills its slots at the end', async () => {
    const input = smallConfig(workspace);
    const measured = await withLengths('prose', input);
    const workOf = (config: ConfigInput, worldSize: number): Promise<{ bytes: number; windows: number }> =>
      onMachines(config, worldSize, async (pipelines) => {
        await ranksOf(pipelines, worldSize);
        const sum = (of: (pipeline: Pipeline) => number): number => pipelines.reduce((total, pipeline) => total + of(pipeline), 0);
        return { bytes: sum(({ stats }) => stats.tokenizedBytes), windows: sum(({ stats }) => stats.windows) };
      });
    const alone = await workOf(input, 1);
    const shared = await workOf(measured, LANES);
    // what is more than once is the end of the longest lanes
    expect(shared.bytes).toBeGreaterThanOrEqual(alone.bytes);
    expect(shared.bytes).toBeLessThan(1.5 * alone.bytes);
    expect(shared.windows).toBeLessThan(1.5 * alone.windows);
  });

  it('counts the samples that a transform makes of a row', async () => {
    const transform = workspace.path('split.js');
    await writeFile(
      transform,
      'export default ({ text }, { row }) => row % 5 === 0 ? null : text.match(/.{1,700}/gs).slice(0, row % 4).map((part) => ({ text: part }));',
    );
    const input = smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/'), transform, fields: { text: 'text' } } },
      sequence: { length: LENGTH, packing: 'samples', padId: 9 },
      batch: { size: SIZE, lanes: LANES },
      epochs: 1,
      last: 'pad',
    });
    expectEqual(await streamsOf(await withLengths('samples', input), 2, 2), await streamsOf(input, 1, 2));

    const fields = workspace.path('fields.js');
    await writeFile(
      fields,
      'export default ({ text }, { row }) => row % 5 === 0 ? null : Array.from({ length: row % 4 }, (_, i) => ({ text: text.slice(i) }));',
    );
    const alone = smallConfig(workspace, {
      ...input,
      sources: { prose: { uri: workspace.path('data/'), transform: fields, fields: { text: 'text' } } },
      tokenizer: undefined,
      sequence: 'none',
    });
    expectEqual(await streamsOf(await withLengths('fields', alone), 2, 2), await streamsOf(alone, 1, 2));
  });

  it('is the same validation, of which each machine reads its part', async () => {
    const input = smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/') } },
      sequence: { length: LENGTH, padId: 9 },
      batch: { size: SIZE, lanes: LANES },
      shuffle: { blocks: 2, windowBytes: '64KiB' },
      epochs: 1,
      validation: { share: 0.2 },
    });
    const measured = await withLengths('validation', input);
    const serve = (from: ConfigInput, cursors: readonly Cursor[] = []): Promise<{ streams: Batch[][]; windows: number[] }> =>
      onMachines(from, 2, async (pipelines) => {
        const request = { worldSize: 2, split: 'validation', cursor: cursors } as const;
        const streams = await Promise.all(pipelines.map((pipeline, rank) => take(pipeline.batches({ ...request, rank }))));
        return { streams, windows: pipelines.map(({ stats }) => stats.windows) };
      });
    const expected = await serve(input);
    const { streams, windows } = await serve(measured);
    expect(streams[0].length).toBeGreaterThan(20);
    expectEqual(streams, expected.streams);
    // each made all lanes, and makes two of four; the last slots of lanes that have ended may be filled by any
    for (const [machine, made] of windows.entries()) expect(made).toBeLessThan(0.75 * expected.windows[machine]);

    const middle = streams.map((stream) => stream[10].cursor);
    expectEqual(
      (await serve(measured, middle)).streams,
      expected.streams.map((stream) => stream.slice(11)),
    );
    // of the two splits, each has its own
    expectEqual(await streamsOf(measured, 2, 2), await streamsOf(input, 1, 2));
  });

  it('goes on computing where the lengths do not say', async () => {
    const input = mixed({ last: 'pad' });
    const measured = await withLengths('part', input, '--steps', '15');
    expectEqual(await streamsOf(measured, 2, 2), await streamsOf(input, 1, 2));
  });

  it('has a ledger that is proven whole, in which each machine writes its lanes', async () => {
    const input = mixed({ last: 'pad', ledger: workspace.path('ledger') });
    const measured = await withLengths('with-ledger', input);
    await streamsOf(measured, 2, 4);
    const { code, out } = await runCommand([
      'audit',
      await workspace.config('audit.yaml', input),
      '--json',
      '--seed',
      '7',
      '--sample',
      '50',
    ]);
    const { passed, checks, segments } = JSON.parse(out) as AuditReport;
    expect([checks.flatMap(({ problems }) => problems), passed, code, segments]).toEqual([[], true, 0, 2]);
  });

  it('refuses lengths of another plan, of other data, and damaged ones, by name', async () => {
    const input = mixed();
    const measured = await withLengths('refused', input);
    const refused = async (config: ConfigInput, problem: RegExp): Promise<void> => {
      await expect(streamsOf(config, 1, 2)).rejects.toMatchObject({
        code: 'INDEX_INVALID',
        message: expect.stringMatching(problem) as string,
      });
    };
    await refused({ ...measured, seed: 4 }, /run\.lengths does not hold the lengths of this run: .*: seed is 3 there and 4 in this run/);
    await refused(
      { ...measured, sources: { ...measured.sources, a: { ...measured.sources.a, uri: workspace.path('b/') } } },
      /sources\.a\.manifest is/,
    );
    const file = workspace.path('refused', 'run.lengths');
    const good = await readFile(file);
    await writeFile(file, good.subarray(0, 900));
    await refused(measured, /not whole/);
    good[good.length >> 1] ^= 4;
    await writeFile(file, good);
    await refused(measured, /checksum/);

    // as if what the tokenizer or the objects say had changed, and the plan had not noticed
    const pipeline = await openPipeline(input);
    await pipeline.close();
    const builder = new LengthsBuilder(3, LANES, LENGTH);
    const place = { group: 1, window: 0 };
    const end = { ...place, document: 1, token: 3 };
    for (const lane of [0, 1, 2, 3]) {
      for (const source of [0, 1, 2]) {
        builder.add({ source, lane, taken: { place, end, tokens: LENGTH } as never, isLast: false });
      }
    }
    await saveLengths(file, pipeline.info.plan, builder.finish());
    await refused(measured, /source [abc], lane \d, group \d+, window \d+, document 0, token 0: its next sequence is another one/);
  });

  it('is not measured where no lane ends, or nobody knows the end', async () => {
    const measure = async (name: string, input: ConfigInput): Promise<string> =>
      (await runCommand(['index', await workspace.config(`${name}.yaml`, input), '--lengths', '--out', workspace.path(name)])).err;
    const { a, b } = mixed().sources;
    const endless = mixed({ sources: { a: { ...a, epochs: undefined }, b: { ...b, epochs: undefined } }, mixture: [] });
    expect(await measure('endless', endless)).toMatch(/^error CONFIG_INVALID: no lane of this run can end/);
    const open = mixed({ sources: { a: { ...a, epochs: undefined }, b: { ...b, weight: 0 } }, mixture: [] });
    expect(await measure('open', open)).toMatch(/^error CONFIG_INVALID: some lanes of this run may end/);
    const nowhere = await runCommand(['index', await workspace.config('nowhere.yaml', mixed()), '--lengths']);
    expect(nowhere.err).toMatch(/^error CONFIG_INVALID: there is no place for the lengths/);
  });
});
