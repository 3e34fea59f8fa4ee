import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { labelsOf, positionIdsOf } from '../../src/batch/targets.js';

interface TargetCase {
  readonly name: string;
  readonly rows: number;
  readonly length: number;
  readonly inputIds: readonly number[];
  readonly lossMask: readonly number[];
  readonly cuSeqlens: readonly number[];
  readonly labels: readonly number[];
  readonly labelsWithinDocuments: readonly number[];
  readonly positionsOfDocuments: readonly number[];
  readonly positionsOfRows: readonly number[];
}

const CASES = JSON.parse(readFileSync(new URL('../spec/targets.json', import.meta.url), 'utf8')) as readonly TargetCase[];

describe.each(CASES)('the targets of $name', (golden) => {
  const batch = {
    rows: golden.rows,
    length: golden.length,
    inputIds: Int32Array.from(golden.inputIds),
    lossMask: Uint8Array.from(golden.lossMask),
    cuSeqlens: Int32Array.from(golden.cuSeqlens),
  };

  it('labels leave out padding, and by option the first token of every segment', () => {
    expect([...labelsOf(batch)]).toEqual(golden.labels);
    expect([...labelsOf(batch, { maskBoundaries: true })]).toEqual(golden.labelsWithinDocuments);
    expect([...batch.inputIds]).toEqual(golden.inputIds);
  });

  it('positions start again with each document, or by option with each row', () => {
    expect([...positionIdsOf(batch)]).toEqual(golden.positionsOfDocuments);
    expect([...positionIdsOf(batch, { restart: 'row' })]).toEqual(golden.positionsOfRows);
  });
});
