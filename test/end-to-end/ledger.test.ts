import { connect, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { randomInt } from 'node:crypto';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import type { AuditReport } from '../../src/auditing.js';
import type { LedgerLine, StepLine } from '../../src/ledger/format.js';
import { cursorFromLedger } from '../../src/ledger/read-ledger.js';
import { forge, segmentsOf } from '../ledger/support.js';
import { runCommand } from '../support/commands.js';
import { runCli, startSidecar, type SidecarProcess } from '../support/sidecar.js';
import { tokenRows } from '../support/token-rows.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const ROWS = 300;
const BAD_ROWS = 12;

/** Everything that a random number decided is in the message of a failure. */
describe('a run with a ledger', { timeout: 300_000 }, () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('prose'), sampleDocuments(200), 4, 20);
    const rows = Array.from({ length: ROWS }, (_, row) =>
      row % (ROWS / BAD_ROWS) === 3 ? null : Array.from({ length: 5 + ((row * 7) % 60) }, (_, i) => 1 + ((row * 31 + i) % 5000)),
    );
    await writeShards(workspace.path('unused'), sampleDocuments(4), 1, 2);
    await writeFile(workspace.path('ids.parquet'), tokenRows(rows));
  });
  afterAll(() => workspace.remove());

  const config = (ledger: string, changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 6, // by which no lane has more of the few long documents than 300 steps take
    sources: {
      prose: { uri: workspace.path('prose/'), weight: 3 },
      ids: { uri: workspace.path('ids.parquet'), tokens: 'ids', weight: 1 },
    },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 128 },
    shuffle: { blocks: 4, windowBytes: '64KiB' },
    batch: { size: 8, lanes: 4 },
    badRows: 'skip',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ledger: workspace.path(ledger),
    ...changes,
  });
  const audit = async (file: string, ...more: string[]): Promise<{ code: number | null; report: AuditReport; err: string }> => {
    const { code, out, err } = await runCommand(['audit', file, '--json', '--seed', '7', ...more]);
    return { code, report: JSON.parse(out) as AuditReport, err };
  };
  const failed = ({ checks }: AuditReport): Record<string, readonly string[]> =>
    Object.fromEntries(checks.filter(({ outcome }) => outcome === 'failed').map(({ check, problems }) => [check, problems]));
  const isStep = (line: LedgerLine): line is StepLine => line.type === 'step';

  it('through kills of the sidecar and changes of the world size, is proven whole', async () => {
    const file = await workspace.config('killed.yaml', config('killed'));
    const address = `ipc://${workspace.path('killed.sock')}`;
    let sidecar: SidecarProcess = await startSidecar(file, { address });
    const moments: number[] = [];
    let cursors: Batch['cursor'][] = [];
    try {
      for (const worldSize of [2, 4, 1, 8]) {
        let going = true;
        const isGoing = (): boolean => going;
        const from = cursors;
        const ranks = Array.from({ length: worldSize }, async (_, rank) => {
          let last: Batch | undefined;
          for await (const batch of connect({ address, rank, worldSize, prefetch: 3, ...(from.length > 0 && { cursor: from }) })) {
            last = batch;
            if (batch.step >= (from[0]?.step ?? 0) + 75) break;
            await new Promise((resolve) => setTimeout(resolve, 15));
          }
          return last!.cursor;
        });
        const killing = (async () => {
          for (let kills = 0; kills < 3 && isGoing(); kills++) {
            moments.push(randomInt(50, 500));
            await new Promise((resolve) => setTimeout(resolve, moments.at(-1)));
            await sidecar.end('SIGKILL');
            sidecar = await startSidecar(file, { address });
          }
        })();
        cursors = await Promise.all(ranks);
        going = false;
        await killing;
      }
    } finally {
      await sidecar.end('SIGKILL');
    }
    const { code, report } = await audit(file, '--sample', '40');
    expect(failed(report), `killed after ${moments.join(', ')} ms`).toEqual({});
    expect(code).toBe(0);
    expect(report).toMatchObject({ passed: true, firstStep: 0 });
    expect(report.segments).toBeGreaterThan(4);
    expect(report.endStep).toBeGreaterThanOrEqual(304);
    expect(report.sampled).toHaveLength(40);
    expect(report.sources.map(({ source, epochs }) => [source, epochs[0].isWhole, epochs[0].rows])).toEqual([
      ['ids', true, ROWS],
      ['prose', true, 200],
    ]);
    expect(report.skipped).toEqual([{ source: 'ids', reason: 'bad-row', rows: BAD_ROWS }]);

    // a trainer's state and the ledger say the same
    const { step } = cursors[0];
    const state = Object.assign({}, ...cursors.map(({ lanes }) => lanes)) as Batch['cursor']['lanes'];
    expect((await cursorFromLedger(workspace.path('killed'), step)).lanes).toEqual(state);

    const other = await workspace.config('other.yaml', config('killed', { seed: 5 }));
    const foreign = await audit(other);
    expect(foreign.code).toBe(1);
    expect(foreign.err).toMatch(/^error AUDIT_FAILED: .* fails: plan$/m);
    expect(failed(foreign.report).plan[0]).toMatch(/is of another plan: seed is 6 there, and 5 in the configuration/);
    expect(foreign.report.checks.map(({ outcome }) => outcome)).toEqual(['passed', 'failed', 'not made', 'not made', 'not made']);
  });

  it('of finite epochs, ends with every row once; what is tampered with is found, and said', async () => {
    const finite = config('finite', { epochs: 1, last: 'pad' });
    const file = await workspace.config('finite.yaml', finite);
    // three processes, one after the other; the second goes back a little, as from a checkpoint
    let cursor: Batch['cursor'] | undefined;
    let checkpoint: Batch['cursor'] | undefined;
    for (const steps of [20, 15, Infinity]) {
      const pipeline = await openPipeline(finite);
      let taken = 0;
      for await (const batch of pipeline.batches(checkpoint === undefined ? {} : { cursor: checkpoint })) {
        if (taken === 10) cursor = batch.cursor;
        if (++taken === steps) break;
      }
      checkpoint = cursor;
      expect(pipeline.ledgerCounters).toMatchObject({ steps: taken, lost: 0 });
      await pipeline.close();
    }
    const all = ['--sample', '100000'];
    const whole = await audit(file, ...all);
    expect(failed(whole.report)).toEqual({});
    expect(whole.report.sampled).toHaveLength(whole.report.endStep!);
    expect(whole.report.sources.map(({ epochs }) => epochs.map(({ isWhole, rows }) => [isWhole, rows]))).toEqual([
      [[true, ROWS]],
      [[true, 200]],
    ]);
    const text = await runCli(['audit', file, '--seed', '7', '--sample', '3']);
    expect(text.code).toBe(0);
    expect(text.out).toMatch(
      /✓ coverage +ids: \d+ tokens, epoch 0 whole; prose: \d+ tokens, epoch 0 whole\n✓ recomputation +3 steps of \d+, sample seed 7/,
    );
    expect(text.out).toMatch(/left out: 12 rows of ids \(bad-row\)/);

    const dir = workspace.path('finite');
    const bySize = async (): Promise<string[]> => {
      const files = await segmentsOf(copy);
      const starts = await Promise.all(
        files.map(async (name) => Number(/"type":"start","stream":0,"step":(\d+)/.exec(await readFile(name, 'utf8'))![1])),
      );
      return files.sort((a, b) => starts[files.indexOf(a)] - starts[files.indexOf(b)]);
    };
    const copy = workspace.path('tampered');
    /** Few steps are computed again, where it is not that which finds it. */
    const tampered = async (
      change: (files: readonly string[]) => Promise<unknown>,
      sample: readonly string[] = ['--sample', '3'],
    ): Promise<Record<string, readonly string[]>> => {
      await rm(copy, { recursive: true, force: true });
      await cp(dir, copy, { recursive: true });
      await change(await bySize());
      const { code, report } = await audit(file, '--ledger', copy, ...sample);
      expect(code).toBe(report.passed ? 0 : 1);
      return failed(report);
    };
    const onStep = (step: number, change: (line: StepLine) => StepLine) => (line: LedgerLine) =>
      isStep(line) && line.step === step ? change(line) : line;

    expect(await tampered(() => Promise.resolve())).toEqual({});
    // an edit with an editor
    const edited = await tampered(async ([name]) => writeFile(name, (await readFile(name, 'utf8')).replace('"step":5,', '"step":4,')));
    expect(edited.lines[0]).toMatch(/line \d+ of .* is damaged/);
    // what lies before the damage is counted and checked, by computing it again as well
    await rm(copy, { recursive: true, force: true });
    await cp(dir, copy, { recursive: true });
    const [first, ...later] = await bySize();
    await Promise.all(later.map((name) => rm(name)));
    const lines = (await readFile(first, 'utf8')).split('\n');
    const damagedAt = lines.findIndex((line) => line.includes('"step":5,'));
    await writeFile(first, lines.with(damagedAt, lines[damagedAt].replace('"step":5,', '"step":6,')).join('\n'));
    const { report: partly } = await audit(file, '--ledger', copy, ...all);
    expect(partly.passed).toBe(false);
    expect(partly.endStep).toBe(5);
    expect(partly.sampled).toEqual([0, 1, 2, 3, 4]);
    expect(partly.checks.map(({ check, outcome }) => [check, outcome])).toEqual([
      ['lines', 'failed'],
      ['plan', 'passed'],
      ['chain', 'passed'],
      ['coverage', 'passed'],
      ['recomputation', 'passed'],
    ]);
    expect(partly.checks[0].facts).toMatch(new RegExp(`^${damagedAt} lines in 1 segment`));
    expect(partly.checks[0].problems[0]).toContain(`; ${damagedAt} lines before it were read, and none from it on`);
    // forgeries with checksums that fit: of a step that was made once …
    const digest = await tampered(
      ([name]) =>
        forge(
          name,
          onStep(5, (line) => ({
            ...line,
            lanes: { ...line.lanes, 2: ['AAAAAAAAAAAAAAAAAAAAAA', ...line.lanes[2].slice(1)] } as StepLine['lanes'],
          })),
        ),
      all,
    );
    expect(digest.recomputation).toEqual([expect.stringMatching(/step 5 of lane 2 has another digest/)]);
    // … and of one that was made twice
    const repeated = await tampered(([name]) =>
      forge(
        name,
        onStep(15, (line) => ({
          ...line,
          lanes: { ...line.lanes, 2: ['AAAAAAAAAAAAAAAAAAAAAA', ...line.lanes[2].slice(1)] } as StepLine['lanes'],
        })),
      ),
    );
    expect(repeated.chain).toEqual([expect.stringMatching(/step 15 was made twice, differently: lane 2/)]);
    const moved = await tampered(([name]) =>
      forge(
        name,
        onStep(5, (line) => ({
          ...line,
          lanes: Object.fromEntries(
            Object.entries(line.lanes).map(([lane, [own, ...positions]]) => [
              lane,
              [
                own,
                ...positions.map((position) => (lane === '1' && Array.isArray(position) ? position.with(2, position[2] + 1) : position)),
              ],
            ]),
          ) as StepLine['lanes'],
        })),
      ),
    );
    expect(Object.keys(moved)).not.toEqual([]);
    expect(Object.values(moved).flat().join('\n')).toMatch(/after step 5, lane 1 stands at|moves lane 1 of|stands at document/);
    const removed = await tampered(([, name]) => rm(name));
    expect(removed.chain.join('\n')).toMatch(/steps 20 to 21 are missing in lane 0|step 20 is missing in lane 0/);
    const last = await tampered(([, , name]) => rm(name));
    expect(last).toEqual({}); // an end that is missing is a run that ended there
    await expect(runCommand(['audit', file, '--ledger', workspace.path('unused')])).resolves.toMatchObject({
      code: 1,
      err: expect.stringMatching(/^error LEDGER_INVALID: the directory .* holds no ledger/) as string,
    });
  });

  it('with weights that were changed while it ran, is computed again with them, and without the run directory', async () => {
    const mixed = config('mixed', { run: { dir: workspace.path('run') } });
    const file = await workspace.config('mixed.yaml', mixed);
    const pipeline = await openPipeline(mixed);
    const { at } = await pipeline.changeMixture({ at: { after: 3 }, weights: { ids: 9 }, ramp: 4 });
    const digests: string[] = [];
    for await (const batch of pipeline.batches()) if (digests.push(batch.digest) > at + 10) break;
    await pipeline.close();
    const claims = await readdir(workspace.path('run', 'claims'));
    const { report } = await audit(file, '--sample', '1000');
    expect(failed(report)).toEqual({});
    expect(report.sampled).toContain(at);
    expect(await readdir(workspace.path('run', 'claims'))).toEqual(claims);
    // show takes any step from it, that at which the weights change among them, and needs no other step, nor the run directory
    await rm(workspace.path('run'), { recursive: true });
    for (const step of [0, at - 1, at, at + 7]) {
      const { out, err } = await runCommand(['show', file, '--step', String(step), '--ledger', '--json']);
      const [shown] = out.split('\n');
      expect(JSON.parse(shown), err).toMatchObject({ type: 'step', step, digest: digests[step], stepsMade: 0 });
    }
    const none = await runCommand(['show', file, '--step', '100000', '--ledger']);
    expect(none.err).toMatch(/LEDGER_INVALID.*does not hold step 100000/);
    // the same without the change is another run
    const [segment] = await segmentsOf(workspace.path('mixed'));
    await forge(segment, (line) => {
      if (!isStep(line) || line.mixture === undefined) return line;
      const { mixture, ...rest } = line;
      expect(mixture).toHaveLength(1);
      return rest;
    });
    expect(Object.keys(failed((await audit(file, '--sample', '1000')).report))).toEqual(['recomputation']);
  });

  it('names rows of damaged blocks, and passes where the policy leaves them out', async () => {
    await writeShards(workspace.path('damaged'), sampleDocuments(120), 3, 20);
    const shard = workspace.path('damaged', 'part-001.parquet');
    const bytes = await readFile(shard);
    bytes.fill(0x5a, 100, 400); // in a page: the footer, which the plan knows, is whole
    await writeFile(shard, bytes);
    const damaged = config('damaged-ledger', {
      sources: { prose: { uri: workspace.path('damaged/') } },
      epochs: 1,
      last: 'pad',
      badBlocks: 'skip',
    });
    const pipeline = await openPipeline(damaged);
    let steps = 0;
    for await (const batch of pipeline.batches()) steps = batch.step + 1;
    await pipeline.close();
    const { report } = await audit(await workspace.config('damaged.yaml', damaged));
    expect(failed(report)).toEqual({});
    expect(report).toMatchObject({ endStep: steps, sources: [{ epochs: [{ isWhole: true, rows: 120 }] }] });
    expect(report.skipped).toEqual([{ source: 'prose', reason: 'damaged', rows: pipeline.stats.rowsSkipped }]);
    expect(pipeline.stats.rowsSkipped).toBeGreaterThan(0);
  });

  it('is refused where it cannot be written, and does not stop a run whose directory fails', async () => {
    const uri = await workspace.config('uri.yaml', { ...config('x'), ledger: 's3://bucket/ledger/' });
    const { code, err } = await runCommand(['serve', uri]);
    expect(code).toBe(1);
    expect(err).toMatch(/error CONFIG_INVALID: ledger cannot be written to a store \(s3:/);

    await writeFile(workspace.path('a-file'), '');
    const warnings: string[] = [];
    const pipeline = await openPipeline(config('a-file/ledger'), { warn: (message) => warnings.push(message) });
    let steps = 0;
    for await (const batch of pipeline.batches()) {
      expect(batch.step).toBe(steps);
      if (++steps === 5) break;
    }
    expect(pipeline.ledgerCounters).toEqual({ steps: 0, bytes: 0, lost: expect.any(Number) as number });
    expect(pipeline.ledgerCounters!.lost).toBeGreaterThanOrEqual(5);
    expect(warnings.filter((message) => message.includes('ledger'))).toHaveLength(1);
    await pipeline.close();
  });
});
