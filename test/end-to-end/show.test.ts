import { loadTokenizer, openPipeline, showStep, type Batch, type ConfigInput, type Cursor, type ShownStep, type Tokenizer } from 'headrace';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments, type CorpusDocument } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { runCli } from '../support/sidecar.js';
import { takeAndClose } from '../support/streams.js';
import { writeParquet } from '../support/token-rows.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const SHARDS = 8;
const SIZE = 8;
const LANES = 4;
const LENGTH = 128;
const EOS = '<|endoftext|>';
/** A document that would like to drive the terminal. */
const HOSTILE = '\u001b[2J\u001b]0;owned\u0007 \u202egnp.exe\u009b31m line\nline';

describe('show', () => {
  let workspace: Workspace;
  let documents: readonly CorpusDocument[];
  let tokenizer: Tokenizer;
  let eos: number;

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 5,
    sources: { prose: { uri: workspace.path('data/') } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: LENGTH },
    shuffle: { blocks: 4, windowBytes: '64KiB' },
    batch: { size: SIZE, lanes: LANES },
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  });
  const streamed = async (input: ConfigInput, steps: number, request: { rank?: number; worldSize?: number } = {}): Promise<Batch[]> =>
    takeAndClose(await openPipeline(input), { ...request, stepsEnd: steps });
  /** Each segment is the piece of the document that it says, and together they are the batch that trainers got. */
  const check = (shown: ShownStep, batch: Batch): void => {
    expect([shown.digest, shown.tokens, shown.padding]).toEqual([batch.digest, batch.tokens, batch.rows * LENGTH - batch.tokens]);
    expect(shown.slots).toHaveLength(batch.rows);
    for (const [row, { segments, tokens, padding }] of shown.slots.entries()) {
      expect(tokens + padding).toBe(LENGTH);
      for (const segment of segments) {
        const [, shard] = /^part-0*(\d+)\.parquet$/.exec(segment.shard)!;
        const document = documents[segment.row * SHARDS + Number(shard)];
        const ids = [...tokenizer.encode(document.text), eos];
        expect(segment.source).toBe('prose');
        expect(segment.uri).toBe(`file://${workspace.path('data', segment.shard)}`);
        expect([...segment.ids]).toEqual(ids.slice(segment.tokenStart, segment.tokenEnd));
        const inBatch = batch.inputIds.subarray(row * LENGTH + segment.start, row * LENGTH + segment.start + segment.ids.length);
        expect([...segment.ids]).toEqual([...inBatch]);
        expect([segment.begins, segment.ends]).toEqual([segment.tokenStart === 0, segment.tokenEnd === ids.length]);
        expect(segment.text).toBe(tokenizer.decode(Int32Array.from(ids.slice(segment.tokenStart, segment.tokenEnd))));
        if (segment.begins && segment.ends) expect(segment.text).toBe(document.text + EOS);
      }
    }
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    tokenizer = await loadTokenizer(TOKENIZER_FILE);
    eos = tokenizer.tokenId(EOS)!;
    documents = sampleDocuments(400);
    await writeShards(workspace.path('data'), documents, SHARDS, 20);
  });
  afterAll(() => workspace.remove());

  it.each<[string, Exclude<NonNullable<ConfigInput['sequence']>, 'none'>]>([
    ['concat', {}],
    ['best-fit', { packing: 'best-fit', packingTokens: 900 }],
    ['pad', { packing: 'pad' }],
  ])('every segment is the piece of the document that it says: %s', async (_name, sequence) => {
    const input = config({ sequence: { length: LENGTH, ...sequence } });
    const batches = await streamed(input, 21);
    check(await showStep(input, { step: 0 }), batches[0]);
    check(await showStep(input, { step: 20 }), batches[20]);
    const resumed = await showStep(input, { step: 20, cursor: batches[16].cursor });
    check(resumed, batches[20]);
    expect(resumed.stepsMade).toBe(3);
    expect((await showStep(input, { step: 20, cursor: batches[19].cursor })).stepsMade).toBe(0);
  });

  it('names the documents where their source has a column of ids, and reads it for nothing else', async () => {
    const input = config({ sources: { prose: { uri: workspace.path('data/'), id: 'id' } } });
    const { slots } = await showStep(input, { step: 4 });
    const segments = slots.flatMap((slot) => slot.segments);
    expect(segments.length).toBeGreaterThan(5);
    for (const { shard, row, id } of segments) {
      const [, number] = /^part-0*(\d+)\.parquet$/.exec(shard)!;
      expect(id).toBe(documents[row * SHARDS + Number(number)].id);
    }
    const nameless = await showStep(config(), { step: 4 });
    expect(nameless.slots.flatMap((slot) => slot.segments).every(({ id }) => id === undefined)).toBe(true);
  });

  it('rows that are sequences already, without a tokenizer: ids in place of text', async () => {
    const rows = Array.from({ length: 200 }, (_, row) => Array.from({ length: 16 }, (_id, i) => (row * 31 + i) % 900));
    await writeParquet(workspace.path('ids'), rows, 2);
    const input: ConfigInput = {
      ...config(),
      sources: { rows: { uri: workspace.path('ids/'), tokens: 'ids' } },
      tokenizer: undefined,
      sequence: { length: 16, packing: 'none' },
    };
    const [batch] = await streamed(input, 1);
    const shown = await showStep(input, { step: 0 });
    expect(shown.digest).toBe(batch.digest);
    const segments = shown.slots.flatMap((slot) => slot.segments);
    expect(segments.map(({ ids, text, begins, ends }) => [ids.length, text, begins, ends])).toEqual(
      segments.map(() => [16, undefined, true, true]),
    );
    expect(segments.flatMap(({ ids }) => [...ids])).toEqual([...batch.inputIds]);
    const { out } = await runCommand(['show', await workspace.config('ids.yaml', input), '--step', '0', '--json']);
    const [, slot] = linesOf(out) as [unknown, { segments: { ids: number[] }[] }];
    expect(slot.segments[0].ids).toEqual([...segments[0].ids]);
  });

  it('ranks have their slots, a slot has its sequence, and the states of ranks are merged', async () => {
    const whole = await streamed(config(), 12);
    const ranks = await Promise.all([0, 1].map((rank) => streamed(config(), 12, { rank, worldSize: 2 })));
    const all = await showStep(config(), { step: 11 });
    for (const rank of [0, 1]) {
      const shown = await showStep(config(), { step: 11, rank, worldSize: 2, cursor: ranks[rank][9].cursor });
      check(shown, ranks[rank][11]);
      expect(shown.slots).toEqual(all.slots.filter(({ slot }) => slot % 2 === rank));
    }
    const cursor = ranks.map((stream) => stream[9].cursor);
    check(await showStep(config(), { step: 11, cursor }), whole[11]);
    const one = await showStep(config(), { step: 11, slot: 6, cursor });
    expect(one.slots).toEqual([all.slots[6]]);
    expect(all.slots.map(({ slot, lane }) => [slot, lane])).toEqual(Array.from({ length: SIZE }, (_, slot) => [slot, slot % LANES]));
    // rank 1's lanes only
    await expect(showStep(config(), { step: 11, slot: 6, cursor: ranks[1][9].cursor })).rejects.toThrow(/does not hold lane 2/);
  });

  it('names the lane that filled a slot whose own lane has ended', async () => {
    const input = config({ epochs: 1, last: 'pad' });
    const batches = await takeAndClose(await openPipeline(input));
    const deliveredBy = (step: number, lane: string): number => (step < 0 ? 0 : batches[step].cursor.lanes[lane].prose[4]);
    const first = batches.findIndex((_, step) =>
      ['0', '1', '2', '3'].some((lane) => deliveredBy(step, lane) === deliveredBy(step - 1, lane)),
    );
    expect(first).toBeGreaterThan(0);
    const [filled, cursor] = [batches[first], batches[first - 1].cursor];
    const { slots } = await showStep(input, { step: first, cursor });
    expect(slots.map(({ turn }) => turn)).toEqual(slots.map(({ slot }) => slot % LANES));
    // what cursors say that each lane has delivered in this step
    const tokensBy = new Map<string, number>();
    for (const { lane, tokens } of slots) tokensBy.set(String(lane), (tokensBy.get(String(lane)) ?? 0) + tokens);
    for (const lane of Object.keys(filled.cursor.lanes)) {
      expect(tokensBy.get(lane) ?? 0, `lane ${lane}`).toBe(deliveredBy(first, lane) - deliveredBy(first - 1, lane));
    }
    const replaced = slots.find(({ lane, turn }) => lane !== turn)!;
    const one = await showStep(input, { step: first, slot: replaced.slot, cursor });
    expect(one.slots).toEqual([replaced]);
    const states = workspace.path('filled.json');
    await writeFile(states, JSON.stringify(cursor));
    const { out } = await runCommand(['show', await workspace.config('filled.yaml', input), '--step', String(first), '--cursor', states]);
    expect(out).toContain(`slot ${replaced.slot} · lane ${replaced.lane} in place of lane ${replaced.turn}, which had none ·`);
  });

  it('opens one window for each lane that it needs, however far the state is, and makes nothing for later steps', async () => {
    const batches = await streamed(config(), 400);
    const windowOf = (cursor: Cursor, lane: string): string => cursor.lanes[lane].prose.slice(0, 2).join(' ');
    const inOneWindow = batches.findIndex(
      ({ cursor }, step) =>
        step > 300 && Object.keys(cursor.lanes).every((lane) => windowOf(cursor, lane) === windowOf(batches[step - 1].cursor, lane)),
    );
    expect(inOneWindow).toBeGreaterThan(300);
    const { cursor } = batches[inOneWindow - 1];
    const windowsOf = async (request: object): Promise<number> => {
      const pipeline = await openPipeline(config());
      try {
        for await (const batch of pipeline.batches({ cursor, ...request })) {
          if (batch.step === inOneWindow) break;
        }
        return pipeline.stats.windows;
      } finally {
        await pipeline.close();
      }
    };
    const windows = await windowsOf({ stepsEnd: inOneWindow + 1 });
    expect(windows).toBe(LANES);
    const forOneSlot = await windowsOf({ stepsEnd: inOneWindow + 1, rank: 3, worldSize: SIZE });
    expect(forOneSlot).toBe(1);
    check(await showStep(config(), { step: inOneWindow, cursor }), batches[inOneWindow]);
  });

  it('a stream that ends before a step is the same up to there, and is shared with nobody who goes on', async () => {
    const pipeline = await openPipeline(config());
    try {
      const bounded = pipeline.openStream({ stepsEnd: 3 });
      const free = pipeline.openStream();
      for (let step = 0; step < 3; step++) expect((await bounded.next())?.digest).toBe((await free.next())?.digest);
      expect(await bounded.next()).toBeUndefined();
      expect((await free.next())?.step).toBe(3);
    } finally {
      await pipeline.close();
    }
  });

  it('says what cannot be: a step before the state, too far without one, behind the end; a slot of another rank', async () => {
    const [{ cursor }] = await streamed(config(), 1);
    await expect(showStep(config(), { step: 0, cursor })).rejects.toThrow(/stands before step 1, and step 0 is earlier/);
    await expect(showStep(config(), { step: 1e6 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/takes about [\d.]+ min/) as string,
      hint: expect.stringMatching(/--cursor FILE.*--from-start/) as string,
    });
    await expect(showStep(config({ epochs: 1 }), { step: 4000 })).rejects.toThrow(/no step 4000/);
    await expect(showStep(config(), { step: 0, slot: 3, rank: 0, worldSize: 2 })).rejects.toThrow(
      /slot 3 is not of rank 0 of 2, but of rank 1/,
    );
    await expect(showStep(config(), { step: 0, slot: 8 })).rejects.toThrow(/there is no slot 8/);
    await expect(showStep(config({ seed: 6 }), { step: 4, cursor })).rejects.toThrow(/seed is 5 in the cursor/);
  });

  it('reads the changes of a run from its directory, and leaves nothing there', async () => {
    const dir = workspace.path('run');
    const two: Partial<ConfigInput> = {
      sources: { a: { uri: workspace.path('data/'), weight: 1 }, b: { uri: workspace.path('data/part-000.parquet'), weight: 1 } },
      run: { dir },
    };
    const running = await openPipeline(config(two));
    const batches: Batch[] = [];
    try {
      await running.changeMixture({ at: { step: 6 }, weights: { a: 0 }, ramp: 0 });
      for await (const batch of running.batches({ stepsEnd: 12 })) batches.push(batch);
    } finally {
      await running.close();
    }
    const before = await readdir(dir, { recursive: true });
    for (const state of [2, 9]) {
      const shown = await showStep(config(two), { step: 11, cursor: batches[state].cursor });
      expect(shown.digest, `from the state after step ${state}`).toBe(batches[11].digest);
      expect(new Set(shown.slots.flatMap(({ segments }) => segments.map(({ source }) => source)))).toEqual(new Set(['b']));
    }
    expect(await readdir(dir, { recursive: true })).toEqual(before);
    // a directory that no run has is not made; what the state knows holds all the same
    const warnings: string[] = [];
    const elsewhere = config({ ...two, run: { dir: workspace.path('no-run') } });
    const shown = await showStep(elsewhere, { step: 11, cursor: batches[9].cursor, warn: (message) => warnings.push(message) });
    expect(shown.digest).toBe(batches[11].digest);
    expect(warnings.join()).toMatch(/there is no run in/);
    expect(await readdir(workspace.dir)).not.toContain('no-run');
  });

  it('validation: of its own stream, from its states or by name, with the lanes that filled its slots', async () => {
    const input = config({ validation: { share: 0.1 } });
    const batches = await takeAndClose(await openPipeline(input), { split: 'validation' });
    const last = batches.length - 1;
    expect(last).toBeGreaterThan(2);
    check(await showStep(input, { step: last, split: 'validation' }), batches[last]);
    const shown = await showStep(input, { step: last, cursor: batches[0].cursor });
    check(shown, batches[last]);
    expect([shown.split, shown.stepsMade]).toEqual(['validation', last - 1]);
    expect(shown.slots.some(({ lane, turn }) => lane !== turn)).toBe(true);
    const [training] = await streamed(input, 1);
    check(await showStep(input, { step: 0 }), training);
    await expect(showStep(input, { step: 1, split: 'validation', cursor: training.cursor })).rejects.toThrow(
      /split is "train" in the cursor/,
    );
    await expect(showStep(config(), { step: 0, split: 'validation' })).rejects.toThrow(/this configuration has none/);

    const file = await workspace.config('validation.yaml', input);
    const { code, out } = await runCommand(['show', file, '--step', '0', '--split', 'validation']);
    expect([code, out]).toEqual([0, expect.stringMatching(/^step 0 of validation · 8 sequences/)]);
    expect(out).toContain(`digest ${batches[0].digest}`);
  });

  it('a state of the middle of a step shows the whole step, any part of it, and later ones', async () => {
    const input = config();
    const batches = await streamed(input, 4);
    const cursor = { ...batches[1].cursor, rows: { given: 2, of: SIZE / 2 } };
    check(await showStep(input, { step: 2, cursor }), batches[2]);
    check(await showStep(input, { step: 3, cursor: [cursor, batches[1].cursor] }), batches[3]);
    const whole = await showStep(input, { step: 2 });
    expect((await showStep(input, { step: 2, cursor, slot: 5 })).slots).toEqual([whole.slots[5]]);
  });

  it('lines keep to the width, but for addresses', async () => {
    const file = await workspace.config(
      'narrow.yaml',
      config({ epochs: 1, last: 'pad', sources: { prose: { uri: workspace.path('data/'), id: 'id' } } }),
    );
    for (const [step, width] of [
      [0, 80],
      [60, 60],
    ]) {
      const { out } = await runCommand(['show', file, '--step', String(step), '--world-size', '2', '--width', String(width)]);
      expect(out).toMatch(/· row \d+/);
      const long = out.split('\n').filter((line) => line.length > width && !/^ +file:|^digest/.test(line));
      expect(long).toEqual([]);
    }
  });

  it('at the command line: lines for people, JSON lines for programs, and no control character of the data', async () => {
    const hostile = Array.from({ length: 40 }, (_, i) => ({ id: `h${i}`, text: `${HOSTILE} ${i}` }));
    await mkdir(workspace.path('hostile'), { recursive: true });
    await writeShards(workspace.path('hostile'), hostile, 1, 10);
    const input = config({ sources: { hostile: { uri: workspace.path('hostile/') } } });
    const file = await workspace.config('hostile.yaml', input);
    const batches = await streamed(input, 3);
    const state = workspace.path('state.json');
    await writeFile(state, JSON.stringify(batches[0].cursor));

    const people = await runCli(['show', file, '--step', '2', '--cursor', state, '--width', '80', '--lines', '9']);
    expect(people.code, people.err).toBe(0);
    expect(people.out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(people.out).toContain(String.raw`\u{1b}[2J\u{1b}]0;owned\u{7} \u{202e}gnp.exe`);
    expect(people.out).toContain(`digest ${batches[2].digest}`);
    expect(people.out).toContain('1 step before it had to be made');
    expect(people.out).toContain(workspace.path('hostile/part-000.parquet'));

    const { out, code } = await runCommand(['show', file, '--step', '2', '--cursor', state, '--json']);
    expect(code).toBe(0);
    expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    const [step, ...slots] = linesOf(out) as [Partial<ShownStep>, ...ShownStep['slots']];
    const shown = await showStep(input, { step: 2, cursor: batches[0].cursor });
    expect(step).toEqual({ type: 'step', ...shown, slots: SIZE });
    expect(slots).toEqual(
      shown.slots.map((slot) => ({
        type: 'slot',
        ...slot,
        segments: slot.segments.map(({ ids, ...segment }) => ({ ...segment, tokens: ids.length })),
      })),
    );
    expect(slots[0].segments.some(({ text }) => text?.includes('\u001b[2J'))).toBe(true);

    for (const [content, problem] of [
      [JSON.stringify(batches[0].cursor).slice(0, 100), /error CURSOR_INVALID: .*holds no state/],
      ['[]', /an empty list/],
      ['{"version":9}', /version 9/],
    ] as const) {
      await writeFile(workspace.path('bad.json'), content);
      const bad = await runCommand(['show', file, '--step', '2', '--cursor', workspace.path('bad.json')]);
      expect([bad.code, bad.err]).toEqual([1, expect.stringMatching(problem)]);
    }
  });
});

function linesOf(out: string): unknown[] {
  return out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}
