import { describe, expect, it } from 'vitest';
import { CONTESTANTS, entriesOf, type Entry } from '../../bench/end-to-end/contestants.js';
import { plotOf, tableOf, type Row } from '../../bench/end-to-end/report.js';
import { SCENARIOS } from '../../bench/end-to-end/scenarios.js';
import { figure, percentile, ratiosOf, shown, spreadOf } from '../../bench/end-to-end/statistics.js';
import { barPlot } from '../../bench/end-to-end/svg.js';
import type { TrainerRun } from '../../bench/end-to-end/trainer-run.js';

const [raw] = SCENARIOS;

function runOf(tokensPerSecond: number): TrainerRun {
  return {
    versions: {},
    importSeconds: 1,
    startedAt: 0,
    firstBatchAfterImports: 0.5,
    firstBatchSeconds: 1.5,
    isWhole: true,
    seconds: 2,
    tokensTimed: 2 * tokensPerSecond,
    cpuSeconds: 4,
    batches: 1,
    tokens: 2 * tokensPerSecond,
    tokenSum: 0,
    digest: '0',
    cpuSecondsWhole: 8,
    pssPeakMiB: 512,
  };
}

function entryNamed(label: string): Entry {
  return entriesOf(CONTESTANTS, raw, ['fastokens', 'tokenizers']).find((entry) => entry.label === label)!;
}

describe('statistics', () => {
  it('takes the nearest rank as a percentile', () => {
    const values = [5, 1, 4, 2, 3];
    expect([0, 0.2, 0.5, 0.99, 1].map((share) => percentile(values, share))).toEqual([1, 1, 3, 5, 5]);
    expect(percentile([], 0.5)).toBeNaN();
  });

  it('shows three digits that count, and the spread of more than one value', () => {
    expect([0.012345, 1.2345, 12.345, 123.45, 12345, 0, NaN].map(figure)).toEqual(['0.0123', '1.23', '12.3', '123', '12345', '0', '–']);
    expect(shown([3, 1, 2])).toBe('2.00 (1.00–3.00)');
    expect(shown([3])).toBe('3.00');
    expect(shown([])).toBe('–');
    expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
  });

  it('compares within each repeat', () => {
    expect(ratiosOf([10, 40, 9], [5, 10])).toEqual([2, 4]);
  });
});

describe('the report', () => {
  const own: Row = {
    scenario: raw,
    entry: entryNamed('headrace'),
    command: 'own',
    runs: [runOf(4e6), runOf(6e6)],
    fetched: { requests: 7, bytes: 3e6 },
  };
  const peer: Row = { scenario: raw, entry: entryNamed('hf + tokenizers'), command: 'peer', runs: [runOf(2e6), runOf(2e6)] };
  const wrong: Row = {
    scenario: raw,
    entry: entryNamed('mds + fastokens'),
    command: 'wrong',
    runs: [runOf(99e6)],
    refused: '3 documents missing',
  };

  it('has a row a loader, with the ratio to headrace', () => {
    const table = tableOf(raw, [own, peer]);
    expect(table).toContain('| headrace | 5.00 (4.00–6.00) |');
    expect(table).toContain('| hf + tokenizers | 2.00 (2.00–2.00) |');
    expect(table).toContain('| 2.50 (2.00–3.00) |');
    expect(table).toContain('| 7, 3.00 |');
  });

  it('counts what was ready at the first batch in a rate of its own, where one epoch is timed', () => {
    const title = '… all tokens, since the imports';
    expect(tableOf(raw, [own])).toContain('| headrace | 5.00 (4.00–6.00) | 4.00 (3.20–4.80) |');
    expect(tableOf(raw, [own])).toContain(title);
    const second = SCENARIOS.find(({ epochs }) => epochs === 2)!;
    expect(tableOf(second, [own])).not.toContain(title);
  });

  it('has no CPU time of a loader whose processes end without an account', () => {
    const hidden = tableOf(raw, [{ ...own, entry: entryNamed('ray + fastokens') }]);
    expect(tableOf(raw, [own])).toMatch(/\| 0\.417 [^|]*\| 0\.833 /);
    expect(hidden).toMatch(/\| 4\.00 \(3\.20–4\.80\) \| – \| – \| – \| 512/);
  });

  it('gives a loader that did not pass its gate no figure and no bar', () => {
    const table = tableOf(raw, [own, wrong]);
    expect(table).toContain('| mds + fastokens | no figure: 3 documents missing |');
    expect(table).not.toContain('99');
    expect(plotOf(raw, [own, wrong])).not.toContain('mds');
  });

  it('counts samples and their bytes where there are images', () => {
    const images = SCENARIOS.find(({ kind }) => kind === 'images')!;
    const run = { ...runOf(500), tokens: 1000, tokenSum: 60_000_000 }; // 500 samples a second of 60 kB, in 2 s
    const table = tableOf(images, [{ ...own, scenario: images, runs: [run] }]);
    expect(table).toMatch(/samples\/s \| MB\/s \|/);
    expect(table).toContain('| headrace | 500 | 30.0 | 24.0 | 66.7 | 512 |');
  });

  it('has no plot where nobody passed', () => {
    expect(plotOf(raw, [wrong])).toBeUndefined();
  });

  it('keeps text of errors inside its cell', () => {
    const table = tableOf(raw, [{ ...wrong, refused: 'a | b\nc' }]);
    expect(table).toContain('no figure: a \\| b c |');
  });
});

describe('a plot', () => {
  it('has a bar of the median and a whisker of the spread, in proportion', () => {
    const svg = barPlot('T <1>', 'u', [
      { label: 'a & b', isOwn: true, spread: { median: 50, min: 40, max: 100 } },
      { label: 'c', isOwn: false, spread: { median: 25, min: 25, max: 25 } },
    ]);
    const widths = [...svg.matchAll(/<rect x="250"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths).toEqual([210, 105]);
    expect(svg).toContain('<path d="M418 59H670"');
    expect(svg).toContain('T &lt;1&gt;');
    expect(svg).toContain('a &amp; b');
    expect(svg.match(/<(\w+)/g)!.filter((tag) => tag === '<text')).toHaveLength(6);
  });
});
