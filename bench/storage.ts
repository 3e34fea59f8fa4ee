/**
 * The byte layer alone: ranges from a MinIO on this machine, directly and through a proxy that is as slow and as unreliable as a store far away;
 * the way to the first batch; and the local cache.
 * `npm run bench -- storage [--quick] [--repeats 5] [--link 400] [--only raw,far,faults,first-batch,economy,cache,entries]`; `--link`: MB/s to a store far away. Contestants take turns, and who begins changes
 * with each repeat.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { collectSeldom } from '../sidecar/collector.js';
import { startMinio } from '../test/support/minio.js';
import { spread } from './processes.js';
import { cachedReads } from './storage/cached-reads.js';
import { economy, firstBatch } from './storage/first-batch.js';
import { farThroughput, faultyThroughput, rawThroughput } from './storage/range-throughput.js';
import { manyEntries } from './storage/many-entries.js';
import type { Case, Context, Sample, Section } from './storage/section.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RESULTS = path.join(ROOT, 'bench', 'results');
const SECTIONS: readonly Section[] = [rawThroughput, farThroughput, faultyThroughput, firstBatch, economy, cachedReads, manyEntries];

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, repeats: { type: 'string' }, link: { type: 'string' }, only: { type: 'string' } },
});
const context = { quick: options.quick, linkBytesPerSecond: Number(options.link ?? 400) * 1e6 };
const repeats = Number(options.repeats ?? (options.quick ? 2 : 5));

interface Measured {
  readonly section: Section;
  readonly label: string;
  readonly unit: string;
  readonly hasRatio: boolean;
  readonly command: string;
  /** Of each contestant, in the order of the repeats. */
  readonly results: { readonly name: string; readonly samples: Sample[] }[];
}

async function main(): Promise<void> {
  collectSeldom(); // as the sidecar does, for all contestants: what V8 collects costs more than the reads otherwise
  const sections = chosenSections();
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-storage-'));
  const minio = await startMinio();
  Object.assign(process.env, minio.env);
  const measured: Measured[] = [];
  try {
    for (const section of sections) measured.push(...(await measureSection(section, { minio, dir, ...context })));
  } finally {
    await minio.stop();
    await rm(dir, { recursive: true });
  }
  const machine = `${cpus()[0].model}, ${availableParallelism()} cores shared with MinIO and the proxy; Node ${process.version}`;
  const report = [
    `machine: ${machine}; medians (min–max) of ${repeats} interleaved repeats`,
    ...sections.flatMap((section) => tableOf(section, measured)),
  ].join('\n');
  console.log(`\n${report}`);
  mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `storage-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  writeFileSync(`${file}.md`, `${report}\n`);
  const rows = measured.map(({ section, ...row }) => ({ section: section.name, ...row }));
  writeFileSync(`${file}.json`, JSON.stringify({ machine, repeats, arguments: process.argv.slice(2), rows }, null, 2));
  console.log(`\nwritten: ${path.relative(ROOT, file)}.md, .json`);
}

function chosenSections(): readonly Section[] {
  if (options.only === undefined) return SECTIONS;
  return options.only.split(',').map((name) => {
    const section = SECTIONS.find((candidate) => candidate.name === name);
    if (section === undefined) throw new Error(`--only: ${name} is none of ${SECTIONS.map((known) => known.name).join(', ')}`);
    return section;
  });
}

async function measureSection(section: Section, context: Context): Promise<Measured[]> {
  const { cases, close } = await section.open(context);
  const command = `npm run bench -- storage --only ${section.name}${context.quick ? ' --quick' : ''}${options.link === undefined ? '' : ` --link ${options.link}`} --repeats ${repeats}`;
  const measured = cases.map(({ label, unit, hasRatio, contestants }): Measured => {
    return { section, label, unit, hasRatio, command, results: contestants.map(({ name }) => ({ name, samples: [] })) };
  });
  try {
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const [index, { results }] of measured.entries()) await measureCase(cases[index], results, repeat);
      console.log(`${section.name}: repeat ${repeat + 1} of ${repeats} done`);
    }
  } finally {
    await close();
  }
  return measured;
}

async function measureCase({ contestants }: Case, results: Measured['results'], repeat: number): Promise<void> {
  const order = contestants.map((_, i) => i);
  if (repeat % 2 === 1) order.reverse();
  for (const i of order) results[i].samples.push(await contestants[i].measure());
}

function tableOf(section: Section, measured: readonly Measured[]): string[] {
  const rows = measured.filter((row) => row.section === section);
  return [
    `\n${section.title}\n\n| case | results | ratio | command |\n| --- | --- | --- | --- |`,
    ...rows.map(({ label, unit, hasRatio, command, results }) => {
      const shown = results.map(({ name, samples }) => {
        const note = samples.at(-1)?.note ?? '';
        return `${name}: ${spread(valuesOf(samples), 2)} ${unit}${note === '' ? '' : ` (${note})`}`;
      });
      const [first, second] = results;
      const ratio = hasRatio ? spread(ratiosOf(valuesOf(first.samples), valuesOf(second.samples)), 2) : '';
      return `| ${label} | ${shown.join('; ')} | ${ratio} | \`${command}\` |`;
    }),
  ];
}

function valuesOf(samples: readonly Sample[]): number[] {
  return samples.map(({ value }) => value);
}

/** Within each repeat: a machine's speed wanders between them. */
function ratiosOf(firsts: readonly number[], seconds: readonly number[]): number[] {
  return firsts.map((value, i) => value / seconds[i]);
}

await main();
process.exit();
