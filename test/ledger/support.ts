/** A run without data: states and digests that a real one could have, so that ledgers can be written and damaged by the thousand. */
import { createHash } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { encodeLine, type LedgerLine } from '../../src/ledger/format.js';
import { ChainCheck } from '../../src/ledger/check-chain.js';
import { listSegments, readSegment } from '../../src/ledger/read-ledger.js';
import { openLedger, type Ledger, type LedgerOptions, type RecordedStep } from '../../src/ledger/write-ledger.js';
import type { LanePosition, LaneStates } from '../../src/plan/cursor.js';

export const LANES = 2;
export const SLOTS = 4;
export const LENGTH = 16;
export const SOURCES = ['a', 'b'];
export const PLAN = { version: 2, seed: 1, 'batch.lanes': LANES, 'batch.size': SLOTS, badRows: 'skip' };

/** Where each lane stands before a step: pure. */
export function standing(step: number, lanes: readonly number[]): LaneStates {
  return Object.fromEntries(
    lanes.map((lane) => {
      const taken = step * 2;
      const a = Math.ceil((taken * 2) / 3);
      const position = (of: number, credit: number): LanePosition => [
        lane + LANES * Math.floor(of / 50),
        0,
        of % 50,
        0,
        of * LENGTH,
        credit,
      ];
      return [String(lane), { a: position(a, taken * 7 - a * 5), b: position(taken - a, a * 5 - taken * 7) }];
    }),
  );
}

export function madeStep(step: number, lanes: readonly number[] = [0, 1]): RecordedStep {
  const digest = (slot: number): Uint8Array => createHash('sha256').update(`${step} ${slot}`).digest();
  const slots = Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => lanes.includes(slot % LANES));
  return {
    step,
    slots: new Map(slots.map((slot) => [slot, { digest: digest(slot) }])),
    before: { lanes: standing(step, lanes), mixture: [] },
    after: { lanes: standing(step + 1, lanes), mixture: [] },
  };
}

export function openTestLedger(dir: string, more: Partial<LedgerOptions> = {}): Promise<Ledger> {
  return openLedger({ dir, plan: PLAN, sources: SOURCES, lanes: LANES, ...more });
}

/** One process: steps [start, end) of some lanes. */
export async function writeSteps(dir: string, start: number, end: number, lanes?: readonly number[]): Promise<void> {
  const ledger = await openTestLedger(dir);
  const stream = ledger.openStream();
  for (let step = start; step < end; step++) await stream.record(madeStep(step, lanes));
  await ledger.close();
}

/** Problems of the chain; throws where a line is damaged. */
export async function chainOf(dir: string): Promise<{ readonly problems: readonly string[]; readonly ends: readonly number[] }> {
  const chain = new ChainCheck({ lanes: LANES, slotsPerLane: SLOTS / LANES, length: LENGTH, lanesEnd: false, sources: SOURCES });
  for (const file of await listSegments(dir)) {
    for await (const event of readSegment(file)) {
      if (event.kind === 'start') chain.start(file, event.step, event.state);
      if (event.kind === 'step') chain.step(file, event);
    }
  }
  const ranges = chain.finish();
  return { problems: chain.problems.lines, ends: [...ranges.values()].map(({ endStep }) => endStep) };
}

export async function segmentsOf(dir: string): Promise<string[]> {
  return (await readdir(dir)).sort().map((name) => path.join(dir, name));
}

/** Rewrites a segment as somebody who knows the format would: with checksums that fit. */
export async function forge(file: string, change: (line: LedgerLine, number: number) => LedgerLine | undefined): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  let crc = 0;
  let text = '';
  for (const [number, line] of lines.entries()) {
    const changed = change(JSON.parse(line.slice(0, -9)) as LedgerLine, number);
    if (changed === undefined) continue;
    const encoded = encodeLine(JSON.stringify(changed), crc);
    ({ crc } = encoded);
    text += encoded.text;
  }
  await writeFile(file, text);
}
