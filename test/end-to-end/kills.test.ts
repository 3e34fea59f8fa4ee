import { connect, openPipeline, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stepHashes } from '../support/global-hash.js';
import { startSidecar, type SidecarProcess } from '../support/sidecar.js';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

const DIR = path.dirname(fileURLToPath(import.meta.url));
const PYTHON = process.env.HEADRACE_PYTHON;
const PYTHON_SOURCES = path.join(DIR, '..', '..', 'python', 'src');
/** Of a run without an end: trainers stop here. */
const STEPS = 160;
const LANES = 4;

interface Saved {
  readonly batch: Pick<Batch, 'step' | 'rows' | 'length' | 'inputIds' | 'segments' | 'cuSeqlens'>;
  readonly cursor: Cursor;
}

/** A rank over its incarnations: what it consumed, by step, and the process that does now. */
interface Trainer {
  readonly rank: number;
  readonly saved: Map<number, Saved>;
  last: Cursor | undefined;
  child: ChildProcess;
  hasEnded: boolean;
  /** Of the process: it ended without being told. */
  failure: string | undefined;
}

interface History {
  readonly machines: number;
  /** World sizes, in turn: the next one at each restart of the whole job. */
  readonly worlds: readonly number[];
  readonly kills: number;
  /** Every second rank has the Python client. */
  readonly python?: boolean;
  readonly finite?: boolean;
}

/** FAULTS 22, 24, 27, 28 and 32, with processes that are really killed. What random numbers decided is in the message of a failure. */
describe('kills', () => {
  let workspace: Workspace;
  /** SHA-256 of each step of the uninterrupted run, and of all of them. */
  const reference = { endless: [] as string[], finite: [] as string[] };
  const killed = { sidecars: 0, trainers: 0 };

  const config = (finite: boolean, machine: number): ConfigInput => ({
    seed: 11,
    sources: {
      code: { uri: workspace.path('code/'), tokens: 'ids', weight: 1 },
      web: { uri: workspace.path('web/'), tokens: 'ids', weight: 2 },
    },
    mixture: [{ at: 60, weights: { code: 2 }, ramp: 20 }],
    sequence: { length: 32, padId: 0 },
    shuffle: { blocks: 4, windowBytes: '64KiB' },
    batch: { size: 8, lanes: LANES },
    ...(finite && { epochs: 4, last: 'pad' }),
    // a machine of its own: nothing is shared but the data
    cache: { dir: workspace.path(`cache-${machine}`) },
    limits: { workers: 1 },
  });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (const [source, name] of ['code', 'web'].entries()) {
      const rows = Array.from({ length: 300 }, (_, row) =>
        Array.from({ length: 1 + ((row * 7) % 41) }, (_token, i) => 1 + source + 2 * (row + 300 * i)),
      );
      await writeParquet(workspace.path(name), rows, 5);
    }
    for (const kind of ['endless', 'finite'] as const) {
      const pipeline = await openPipeline(config(kind === 'finite', 0));
      const batches: Batch[] = [];
      for await (const batch of pipeline.batches()) {
        batches.push(batch);
        if (kind === 'endless' && batches.length === STEPS) break;
      }
      await pipeline.close();
      reference[kind] = stepHashes([batches]);
    }
  });
  afterAll(async () => {
    await workspace.remove();
    console.log(`killed: ${killed.sidecars} sidecars, ${killed.trainers} trainers`);
  });

  it.each<History>([
    { machines: 1, worlds: [1, 2, 4, 8], kills: 65 },
    { machines: 2, worlds: [2, 8, 4, 1], kills: 60 },
    { machines: 4, worlds: [4, 8, 2], kills: 65 },
    { machines: 2, worlds: [2, 4], kills: 15, finite: true },
    ...(PYTHON === undefined ? [] : [{ machines: 2, worlds: [2, 4, 1], kills: 15, python: true }]),
  ])(
    'of trainers and sidecars at random moments leave one stream: %j',
    async (history) => {
      const log: string[] = [];
      try {
        await live(history, log);
      } catch (error) {
        throw new Error(`${error instanceof Error ? error.message : String(error)}\n${log.slice(-40).join('\n')}`, { cause: error });
      }
    },
    600_000,
  );

  /** Lives through a history of a job, from the first step to the last as often as it takes. */
  async function live(history: History, log: string[]): Promise<void> {
    const expected = history.finite === true ? reference.finite : reference.endless;
    const prefix = `${history.machines}-${history.finite === true ? 'f' : 'e'}${history.python === true ? 'p' : ''}`;
    const addresses = Array.from({ length: history.machines }, (_, machine) => `ipc://${workspace.path(`${prefix}-${machine}.sock`)}`);
    const files = await Promise.all(
      addresses.map((_, machine) => workspace.config(`${prefix}-${machine}.yaml`, config(history.finite === true, machine))),
    );
    const start = (machine: number): Promise<SidecarProcess> => startSidecar(files[machine], { address: addresses[machine] });
    const sidecars = await Promise.all(addresses.map((_, machine) => start(machine)));
    let kills = 0;
    let cursors: readonly Cursor[] = [];
    let hashes: string[] = [];
    let trainers: Trainer[] = [];
    try {
      for (let generation = 0; kills < history.kills || cursors.length > 0; generation++) {
        const worldSize = history.worlds[generation % history.worlds.length];
        const from = cursors;
        log.push(`${kills} kills; ${worldSize} ranks start at step ${hashes.length}`);
        let progress: () => void = () => undefined;
        const begin = async (trainer: Trainer): Promise<void> => {
          const states = trainer.last === undefined ? from : [trainer.last];
          const address = addresses[trainer.rank % addresses.length];
          const isPython = history.python === true && trainer.rank % 2 === 0;
          const cursorFile = workspace.path(`${prefix}-cursor-${trainer.rank}.json`);
          await writeFile(cursorFile, JSON.stringify(states));
          spawnTrainer(
            trainer,
            isPython,
            [address, String(trainer.rank), String(worldSize), cursorFile, String(history.finite === true ? -1 : STEPS)],
            () => progress(),
          );
        };
        trainers = Array.from(
          { length: worldSize },
          (_, rank) => ({ rank, saved: new Map(), last: undefined, hasEnded: false, failure: undefined }) as unknown as Trainer,
        );
        await Promise.all(trainers.map(begin));
        let restart = false;
        while (!restart && trainers.some(({ hasEnded }) => !hasEnded)) {
          // the next one comes some batches later, so that the job gets on
          for (let batches = randomInt(1, 4 + 3 * worldSize); batches > 0; batches--) {
            const failed = trainers.find(({ failure }) => failure !== undefined);
            if (failed !== undefined) throw new Error(`rank ${failed.rank} ended: ${failed.failure}`);
            if (trainers.every(({ hasEnded }) => hasEnded)) break;
            await new Promise<void>((resolve) => (progress = resolve));
          }
          const going = trainers.filter(({ hasEnded }) => !hasEnded);
          if (kills >= history.kills || going.length === 0) continue;
          await delay(randomInt(0, 8));
          const what = randomInt(0, 10);
          if (what < 2) {
            const machine = randomInt(0, sidecars.length);
            log.push(`sidecar ${machine} is killed`);
            await sidecars[machine].end('SIGKILL');
            kills++;
            killed.sidecars++;
            sidecars[machine] = await start(machine);
          } else if (what < 8) {
            const trainer = going[randomInt(0, going.length)];
            log.push(`rank ${trainer.rank} is killed after step ${trainer.last?.step ?? hashes.length}`);
            await kill(trainer.child);
            kills++;
            killed.trainers++;
            if (!trainer.hasEnded) await begin(trainer);
          } else {
            log.push('all ranks are killed');
            await Promise.all(going.map(({ child }) => kill(child)));
            kills += going.length;
            killed.trainers += going.length;
            restart = true;
          }
        }
        // the steps that every rank has consumed
        const first = hashes.length;
        const end = Math.min(...trainers.map(({ saved }) => Math.max(first, ...[...saved.keys()].map((step) => step + 1))));
        const streams = trainers.map(({ saved }) => Array.from({ length: end - first }, (_, i) => saved.get(first + i)!.batch as Batch));
        hashes.push(...(end > first ? stepHashes(streams) : []));
        expect(hashes, `steps ${first} to ${end}, ${worldSize} ranks`).toEqual(expected.slice(0, end));
        // ranks that were killed between their last step and their end have nothing left to do
        if (!restart || end === expected.length) {
          expect(sha256(hashes), 'the global stream').toBe(sha256(expected));
          for (const { saved } of trainers) expect(Math.max(...saved.keys())).toBe(expected.length - 1);
          [hashes, cursors] = [[], []];
          // a rank that asks for more is told the same end
          if (history.finite === true) {
            const client = connect({ address: addresses[0], worldSize, cursor: trainers.map(({ last }) => last!), timeoutMs: 60_000 });
            expect(await client.next()).toBeUndefined();
          }
        } else if (end > first) cursors = trainers.map(({ saved }) => saved.get(end - 1)!.cursor);
      }
    } finally {
      await Promise.all([...trainers.map(({ child }) => kill(child)), ...sidecars.map((sidecar) => sidecar.end('SIGKILL'))]);
    }
  }
});

function spawnTrainer(trainer: Trainer, isPython: boolean, args: readonly string[], onProgress: () => void): void {
  const command = isPython ? [PYTHON!, path.join(DIR, 'trainer.py')] : [process.execPath, path.join(DIR, 'trainer.mjs')];
  const env = { ...process.env, ...(isPython && { PYTHONPATH: PYTHON_SOURCES }) };
  const child = spawn(command[0], [...command.slice(1), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  trainer.child = child;
  let [rest, errors] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!; // what was cut off was not said
    for (const line of lines) accept(trainer, line);
    onProgress();
  });
  child.once('close', (code, signal) => {
    if (signal !== 'SIGKILL' && !trainer.hasEnded) trainer.failure = `code ${String(code)}: ${errors}`;
    onProgress();
  });
}

/** Keeps what a trainer consumed. */
function accept(trainer: Trainer, line: string): void {
  if (line === '"end"') {
    trainer.hasEnded = true;
    return;
  }
  const { cursor, step, rows, length, ...arrays } = JSON.parse(line) as Record<'inputIds' | 'segments' | 'cuSeqlens', string> & { cursor: Cursor; step: number; rows: number; length: number }; // prettier-ignore
  const batch = {
    step,
    rows,
    length,
    inputIds: int32(arrays.inputIds),
    segments: int32(arrays.segments),
    cuSeqlens: int32(arrays.cuSeqlens),
  };
  const expectedStep = trainer.last?.step ?? step;
  if (step !== expectedStep || cursor.step !== step + 1) trainer.failure = `step ${step} came, and ${expectedStep} was next`;
  trainer.saved.set(step, { batch, cursor });
  trainer.last = cursor;
}

function int32(base64: string): Int32Array<ArrayBuffer> {
  return new Int32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

function sha256(hashes: readonly string[]): string {
  return createHash('sha256').update(hashes.join()).digest('hex');
}
