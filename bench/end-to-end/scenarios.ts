/** What is measured, and how each scenario differs from the first one. */
import type { ProxyOptions } from '../../test/support/http-proxy.js';
import type { Kind, TokenizerName } from './contestants.js';

export type Measure = 'rate' | 'first-batch' | 'waits' | 'resume';

/** Where a run's local caches come from: nothing, or what a run before has left. */
export type Start = 'cold' | 'warm' | 'index';

export interface Scenario {
  /** As `--only` has it. */
  readonly name: string;
  readonly title: string;
  readonly kind: Kind;
  readonly epochs: number;
  readonly measure: Measure;
  readonly start: Start;
  readonly link?: ProxyOptions;
  readonly tokenizers: readonly TokenizerName[];
  /** Trainers on this machine that share an epoch, in step; left out: one, of its own. */
  readonly ranks?: number;
  /** Of the epoch, before a state is saved. */
  readonly resumeShare?: number;
}

const FAST: readonly TokenizerName[] = ['fastokens'];
const BOTH: readonly TokenizerName[] = ['fastokens', 'tokenizers'];

/** 20 ms to the first byte, 100 MB/s a stream. */
const FAR: ProxyOptions = { firstByteMs: 20, streamBytesPerSecond: 100e6 };
const FAULTY: ProxyOptions = { ...FAR, faults: { seed: 1, refused: 0.01, resets: 0.005, stragglers: 0.01, stragglerMs: 2000 } };

const COMMON = { epochs: 1, start: 'cold' } as const;

function resume(kind: 'text' | 'tokens', resumeShare: number): Scenario {
  const percent = Math.round(100 * resumeShare);
  return {
    ...COMMON,
    name: `resume-${kind === 'text' ? 'raw' : 'tokens'}${percent === 50 ? '' : `-${percent}`}`,
    title: `${kind === 'text' ? 'Raw text' : 'Tokens'}, resume at ${percent} % of the epoch: start of the process to the next batch, nothing kept but the state`,
    kind,
    measure: 'resume',
    tokenizers: FAST,
    resumeShare,
  };
}

function ranks(kind: 'text' | 'tokens', count: number): Scenario {
  return {
    ...COMMON,
    name: `ranks-${count}${kind === 'tokens' ? '-tokens' : ''}`,
    title: `${kind === 'text' ? 'Raw text' : 'Token column'} → packed batches for ${count} ranks on this machine, in step`,
    kind,
    measure: 'rate',
    tokenizers: FAST,
    ranks: count,
  };
}

export const SCENARIOS: readonly Scenario[] = [
  { ...COMMON, name: 'raw', title: 'Raw text → packed batches, first epoch', kind: 'text', measure: 'rate', tokenizers: BOTH },
  { ...COMMON, name: 'tokens', title: 'Token column → packed batches', kind: 'tokens', measure: 'rate', tokenizers: FAST },
  {
    ...COMMON,
    name: 'images',
    title: 'Images and captions of WebDataset → batches of 64 samples, bytes as they are stored',
    kind: 'images',
    measure: 'rate',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'second-epoch',
    title: 'Raw text, the second epoch of one run',
    kind: 'text',
    epochs: 2,
    measure: 'rate',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'first-batch',
    title: 'Raw text, start of the process to the first batch, nothing kept',
    kind: 'text',
    measure: 'first-batch',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'first-batch-warm',
    title: '… after a run that filled the local caches',
    kind: 'text',
    start: 'warm',
    measure: 'first-batch',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'first-batch-index',
    title: '… nothing kept, but an index saved beside the data (headrace index)',
    kind: 'text',
    start: 'index',
    measure: 'first-batch',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'waits',
    title: 'Raw text, the trainer’s wait at each step of 64 k tokens that computes 50 ms',
    kind: 'text',
    measure: 'waits',
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'far',
    title: 'Raw text over link B: 20 ms to the first byte, 100 MB/s a stream',
    kind: 'text',
    measure: 'rate',
    link: FAR,
    tokenizers: FAST,
  },
  {
    ...COMMON,
    name: 'faulty',
    title: 'Raw text over link C: B with 1 % 503, 0.5 % resets, 1 % stragglers of 2 s',
    kind: 'text',
    measure: 'rate',
    link: FAULTY,
    tokenizers: FAST,
  },
  ...[2, 4].flatMap((count) => [ranks('text', count), ranks('tokens', count)]),
  ...[0.5, 0.1, 0.9].flatMap((share) => [resume('text', share), resume('tokens', share)]),
];

export const QUICK = ['raw', 'tokens'];
