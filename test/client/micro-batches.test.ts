import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type MicroBatchedOptions, type SidecarClient } from '../../src/client/client.js';
import { mergeCursors, parseCursor, type Cursor } from '../../src/plan/cursor.js';
import type { MicroBatch } from '../../src/stream/micro-batches.js';
import { cursorOf, FakeSidecar } from '../support/fake-sidecar.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

const ROWS = 8;
const STEPS = 3;

/** As python/tests/test_micro_batches.py has it. */
describe('micro-batches of the Node client', () => {
  let workspace: Workspace;
  let sidecar: FakeSidecar;
  let address: string;
  let open: SidecarClient[];

  beforeEach(async () => {
    workspace = await makeWorkspace();
    address = `ipc://${workspace.path('s.sock')}`;
    sidecar = await FakeSidecar.start(address, { steps: STEPS, rows: ROWS });
    open = [];
  });
  afterEach(async () => {
    for (const each of open) each.close();
    sidecar.close();
    await workspace.remove();
  });

  const client = (options: Omit<MicroBatchedOptions, 'address'>): SidecarClient<MicroBatch> => {
    const made = connect({ address, timeoutMs: 5000, ...options });
    open.push(made);
    return made;
  };
  const afterRows = (rows: number): Cursor => {
    const cursor = cursorOf(Math.floor(rows / ROWS), ROWS);
    return rows % ROWS === 0 ? cursor : { ...cursor, rows: { given: rows % ROWS, of: ROWS } };
  };

  it('are the rows of a step in order, and credits are whole steps', async () => {
    const own = client({ microBatch: 2, verify: true });
    const batches = await collect(own);
    expect(batches.map(({ step, microStep }) => [step, microStep])).toEqual(
      Array.from({ length: 12 }, (_, i) => [Math.floor(i / 4), i % 4]),
    );
    expect(batches.map(({ isLastMicroStep }) => isLastMicroStep)).toEqual(Array.from({ length: 12 }, (_, i) => i % 4 === 3));
    for (const { rows, tokens, stepTokens, cuSeqlens, inputIds } of batches) {
      expect([rows, tokens, stepTokens, inputIds.length]).toEqual([2, 6, 24, 8]);
      expect([...cuSeqlens]).toEqual([0, 2, 3, 4, 6, 7, 8]);
    }
    expect(own.cursor).toEqual(cursorOf(STEPS, ROWS));
    expect(await own.next()).toBeUndefined();
    expect(sidecar.received.filter((type) => type === 'CREDIT').length).toBeLessThanOrEqual(STEPS);
  });

  it.each([1, 2, 4])('have exact cursors after each one of %d rows, which others of any size go on from', async (size) => {
    for (let rows = size; rows < STEPS * ROWS; rows += size) {
      const own = client({ microBatch: size });
      const taken = [];
      for (let i = 0; i < rows / size; i++) taken.push(await own.next());
      expect(own.cursor).toEqual(afterRows(rows));
      expect(taken.at(-1)?.cursor).toEqual(own.cursor);
      own.close();
      const cursor = parseCursor(JSON.parse(JSON.stringify(own.cursor)));
      for (const microBatch of [1, 2, 4, 8].filter((other) => rows % other === 0)) {
        const rest = client({ microBatch, cursor });
        expect((await collect(rest)).map((batch) => [batch.step, batch.microStep])).toEqual(
          Array.from({ length: (STEPS * ROWS - rows) / microBatch }, (_, i) => {
            const row = rows + i * microBatch;
            return [Math.floor(row / ROWS), (row % ROWS) / microBatch];
          }),
        );
      }
    }
    expect(sidecar.hellos.flatMap(({ cursors }) => cursors).filter((cursor) => 'rows' in (cursor as object))).toEqual([]);
  });

  it('say where they are before the first one, too', async () => {
    const own = client({ microBatch: 2, cursor: afterRows(12) });
    const waiting = own.next();
    await expect.poll(() => own.cursor).toBeDefined();
    await waiting;
    expect(own.cursor).toEqual(afterRows(14));
  });

  it('come in order to calls that overlap', async () => {
    const own = client({ microBatch: 4 });
    const batches = await Promise.all(Array.from({ length: 7 }, () => own.next()));
    expect(batches.map((batch) => batch && [batch.step, batch.microStep])).toEqual([
      [0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], undefined,
    ]); // prettier-ignore
  });

  it.each([
    ['another world size', { microBatch: 2, worldSize: 2 }],
    ['micro-batches that begin elsewhere', { microBatch: 8 }],
  ])('refuse a cursor of the middle of a step with %s', (_, options) => {
    expect(() => client({ ...options, cursor: afterRows(12) })).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'rows' } }),
    );
  });

  it('are what a cursor of the middle of a step needs', () => {
    expect(() => connect({ address, cursor: afterRows(12) })).toThrow(
      expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'rows' } }),
    );
  });

  it.each([0, -1, 1.5, Number.NaN])('of %d rows are refused', (microBatch) => {
    expect(() => client({ microBatch })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  it('of a size that does not divide the rows are refused, naming both', async () => {
    await expect(client({ microBatch: 3 }).next()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'microBatch is 3, which does not divide the 8 rows of a step that a rank has',
      detail: { microBatch: 3, rows: 8 },
    });
  });

  it('of a closed client are no more, though its step is not at its end', async () => {
    const own = client({ microBatch: 2 });
    await own.next();
    own.close();
    await expect(own.next()).rejects.toMatchObject({ code: 'ABORTED' });
    expect(own.cursor).toEqual(afterRows(2));
  });

  it('have cursors that merge where all ranks had as many rows', () => {
    expect(mergeCursors([afterRows(12), afterRows(12)])).toEqual(afterRows(12));
    for (const other of [afterRows(10), afterRows(8)])
      for (const pair of [
        [afterRows(12), other],
        [other, afterRows(12)],
      ])
        expect(() => mergeCursors(pair)).toThrow(expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'rows' } }));
  });
});

async function collect(batches: AsyncIterable<MicroBatch>): Promise<MicroBatch[]> {
  const all: MicroBatch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}
