/** Plays a story: machines and trainers come, die, and come back in other numbers; every batch is compared with the reference. */
import { parseCursor, type Cursor } from '../../src/plan/cursor.js';
import type { Batch, RankStream } from '../../src/stream/rank-stream.js';
import type { Lengths } from '../../src/stream/lengths.js';
import { Machine, measure, PAD_ID, planRun, tokenId, type Product } from './machine.js';
import type { ReferencePlan, Segment } from './reference-types.js';
import { referenceStream } from './reference.js';
import type { Phase, Story } from './runs.js';
import { Scheduler } from './scheduler.js';

export interface Played {
  readonly reference: readonly (readonly (readonly Segment[])[])[];
  readonly product: Product;
  readonly checkpoints: readonly (readonly Cursor[])[];
  readonly kills: number;
  readonly batches: number;
}

/** Steps that are played of a stream that goes on. */
export const STEPS_MAX = 40;

export interface PlayOptions {
  readonly stepsMax?: number;
  /** Every machine has the lengths of the first so many steps. */
  readonly measuredSteps?: number;
  readonly onBatch?: (batch: Batch, phase: number) => void;
}

interface Trainer {
  readonly rank: number;
  readonly machine: number;
  stream: RankStream;
  /** As text, as a checkpoint has them: by step. */
  readonly cursors: Map<number, string>;
  step: number;
  hasEnded: boolean;
}

/** Throws where a batch is not the reference's, or a rank ends elsewhere. `onBatch` sees every batch, those that came again too. */
export async function play(story: Story, { stepsMax = STEPS_MAX, measuredSteps, onBatch }: PlayOptions = {}): Promise<Played> {
  const reference = referenceStream(story.plan, stepsMax);
  const product = planRun(story);
  const lengths = measuredSteps === undefined ? undefined : await measure(story, product, measuredSteps);
  const checkpoints: Cursor[][] = [];
  let from: readonly Cursor[] = [];
  let [kills, batches] = [0, 0];
  for (const [index, phase] of story.phases.entries()) {
    const played = await playPhase(story, product, lengths, phase, from, reference, stepsMax, (batch) => onBatch?.(batch, index));
    kills += played.kills;
    batches += played.batches;
    if (played.checkpoint.length === 0) continue;
    from = played.checkpoint;
    checkpoints.push(played.checkpoint);
  }
  return { reference, product, checkpoints, kills, batches };
}

async function playPhase(
  story: Story,
  product: Product,
  lengths: Lengths | undefined,
  phase: Phase,
  from: readonly Cursor[],
  reference: Played['reference'],
  stepsMax: number,
  onBatch: (batch: Batch) => void,
): Promise<{ checkpoint: Cursor[]; kills: number; batches: number }> {
  const { plan } = story;
  const scheduler = new Scheduler(phase.timing);
  const worlds = Array.from({ length: plan.batch }, (_, i) => i + 1).filter((size) => plan.batch % size === 0);
  const worldSize = worlds[phase.world % worlds.length];
  const machines = Array.from({ length: phase.machines }, () => new Machine(story, product, scheduler, { lengths }));
  const startStep = from.length === 0 ? 0 : from[0].step;
  const endStep = Math.min(startStep + phase.steps, stepsMax);
  let [kills, batches] = [0, 0];

  const cursorsOf = ({ cursors, step }: Pick<Trainer, 'cursors' | 'step'>): readonly Cursor[] => {
    const text = cursors.get(step);
    return text === undefined ? from : [parseCursor(JSON.parse(text))];
  };
  const connect = (trainer: Trainer): void => {
    trainer.stream = machines[trainer.machine].open({ rank: trainer.rank, worldSize }, cursorsOf(trainer));
  };
  const trainers = Array.from({ length: worldSize }, (_, rank): Trainer => {
    const machine = rank % machines.length;
    const stream = machines[machine].open({ rank, worldSize }, from);
    return { rank, machine, stream, cursors: new Map(), step: startStep, hasEnded: false };
  });

  const take = async (trainer: Trainer): Promise<void> => {
    const batch = await trainer.stream.next();
    if (batch === undefined) {
      if (trainer.step !== reference.length)
        throw new Error(`rank ${trainer.rank} ended before step ${trainer.step} of ${reference.length}`);
      trainer.hasEnded = true;
      return;
    }
    checkBatch(batch, trainer, worldSize, story.plan, reference);
    onBatch(batch);
    batches++;
    trainer.step++;
    trainer.cursors.set(trainer.step, JSON.stringify(batch.cursor));
  };
  const settle = (pending: Promise<unknown>): Promise<unknown> => pending.then(() => undefined, () => undefined); // prettier-ignore

  for (;;) {
    const going = trainers.filter(({ step, hasEnded }) => !hasEnded && step < endStep);
    if (going.length === 0) break;
    const chance = scheduler.below(1000);
    if (chance < phase.trainerDeaths) {
      const trainer = scheduler.pick(going);
      // it may die while it waits; and a new incarnation may come back before the old one is gone
      const pending = scheduler.below(2) === 0 ? settle(trainer.stream.next()) : undefined;
      const old = trainer.stream;
      if (scheduler.below(2) === 0) old.close();
      connect(trainer);
      old.close();
      await pending;
      kills++;
    } else if (chance < phase.trainerDeaths + phase.machineDeaths) {
      const machine = scheduler.below(machines.length);
      const own = trainers.filter((trainer) => trainer.machine === machine);
      const pending = going
        .filter((trainer) => trainer.machine === machine && scheduler.below(2) === 0)
        .map(({ stream }) => settle(stream.next()));
      machines[machine].kill();
      machines[machine] = new Machine(story, product, scheduler, { lengths });
      await Promise.all(pending);
      for (const trainer of own) connect(trainer);
      kills++;
    } else {
      await Promise.all(going.filter(() => scheduler.below(2) === 0).map(take));
    }
  }
  for (const { stream } of trainers) stream.close();
  for (const machine of machines) machine.kill();
  const reached = Math.min(...trainers.map(({ step }) => step));
  const step = startStep + Math.ceil(((reached - startStep) * phase.checkpoint) / 100);
  const checkpoint = step === startStep ? [] : trainers.map(({ cursors }) => parseCursor(JSON.parse(cursors.get(step)!)));
  return { checkpoint, kills, batches };
}

/** Of its slots of the step, and nothing else: segments and ids. */
export function checkBatch(
  batch: Batch,
  { rank, step }: Pick<Trainer, 'rank' | 'step'>,
  worldSize: number,
  plan: ReferencePlan,
  reference: Played['reference'],
): void {
  const where = `step ${step}, rank ${rank} of ${worldSize}`;
  if (batch.step !== step || batch.cursor.step !== step + 1) throw new Error(`${where}: a batch of step ${batch.step} came`);
  if (step >= reference.length) throw new Error(`${where}: the reference has ${reference.length} steps`);
  if (batch.rows !== plan.batch / worldSize) throw new Error(`${where}: ${batch.rows} rows`);
  const segments: number[] = [];
  const ids: number[] = [];
  for (let row = 0; row < batch.rows; row++) {
    let room = plan.length;
    for (const segment of reference[step][row * worldSize + rank]) {
      const [source, shard, at, start, take] = segment;
      segments.push(...segment);
      for (let index = start; index < start + take; index++) ids.push(tokenId(source, shard, at, index));
      room -= take;
    }
    if (room > 0) segments.push(-1, 0, 0, 0, room, 0);
    for (; room > 0; room--) ids.push(PAD_ID);
  }
  if (!sameNumbers(segments, batch.segments))
    throw new Error(`${where}: expected segments ${segments.join()}, got ${batch.segments.join()}`);
  if (!sameNumbers(ids, batch.inputIds)) throw new Error(`${where}: expected ids ${ids.join()}, got ${batch.inputIds.join()}`);
}

function sameNumbers(expected: readonly number[], actual: Int32Array): boolean {
  return expected.length === actual.length && expected.every((value, i) => value === actual[i]);
}
