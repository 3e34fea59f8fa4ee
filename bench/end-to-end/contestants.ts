/** Who runs, how each is configured, and what each claims; bench/README.md says why. */
import type { RanksPromise, Unit } from './gates.js';

export type Kind = 'text' | 'tokens' | 'images';
export type TokenizerName = 'own' | 'tokenizers' | 'fastokens';

export interface Contestant {
  /** As `--peers` has it. */
  readonly name: string;
  /** In bench/end-to-end/peers. */
  readonly module: string;
  readonly tokenizers: readonly TokenizerName[];
  /** Processes beside the trainer's own that read and tokenize; 0: the trainer's process does it. */
  readonly workers: number;
  readonly shuffles: boolean;
  /** Claims the same order in each run of one configuration. */
  readonly isOrdered: boolean;
  /** Where it has a state to resume from, with text that is packed while streaming and with tokens. */
  readonly resumes: readonly Kind[];
  readonly units: Readonly<Record<'text' | 'tokens', Unit>>;
  /** What it promises of several ranks on one machine; left out: it is not run so. */
  readonly ranks?: RanksPromise;
  /** Serves samples of images and captions. */
  readonly images?: true;
  /** Ends processes without an account: what they used is in no sum. */
  readonly hidesCpu?: true;
  readonly how: string;
}

const DOCUMENTS = { text: 'documents', tokens: 'documents' } as const;
/** Documents are dealt, or shards of them; and of however many tokens they are, so many batches a rank gets. */
const UNEQUAL = { equalSteps: false } as const;
const BOTH = ['fastokens', 'tokenizers'] as const;

export const CONTESTANTS: readonly Contestant[] = [
  {
    name: 'headrace',
    module: 'headrace_loader',
    images: true,
    tokenizers: ['own'],
    workers: 0,
    shuffles: true,
    isOrdered: true,
    resumes: ['text', 'tokens'],
    units: DOCUMENTS,
    ranks: { equalSteps: true },
    how: 'the sidecar process that its DataLoader starts; Parquet in place; defaults',
  },
  {
    name: 'mds',
    module: 'mds',
    images: true,
    tokenizers: BOTH,
    workers: 2,
    shuffles: true,
    isOrdered: true,
    resumes: ['tokens'],
    units: DOCUMENTS,
    ranks: { equalSteps: false, repeats: true },
    how: 'MDS shards of whole documents, made before; 2 workers; its default shuffle',
  },
  {
    name: 'litdata',
    module: 'litdata_loader',
    images: true,
    tokenizers: BOTH,
    workers: 1,
    shuffles: true,
    isOrdered: true,
    resumes: ['tokens'],
    units: { text: 'documents', tokens: 'rows' },
    ranks: UNEQUAL,
    how: 'its own chunks, made before (tokens: packed before, too); 1 worker',
  },
  {
    name: 'litdata-inprocess',
    module: 'litdata_loader',
    images: true,
    tokenizers: BOTH,
    workers: 0,
    shuffles: true,
    isOrdered: true,
    resumes: [],
    units: { text: 'documents', tokens: 'rows' },
    ranks: UNEQUAL,
    how: 'as litdata, in the trainer’s own process, a tokenizer thread a core',
  },
  {
    name: 'webdataset',
    module: 'wds',
    images: true,
    tokenizers: BOTH,
    workers: 2,
    shuffles: true,
    isOrdered: true,
    resumes: [],
    units: DOCUMENTS,
    ranks: UNEQUAL,
    how: 'tar files of whole documents, made before; 2 workers; buffer of 1,000 documents',
  },
  {
    name: 'hf',
    module: 'hf',
    tokenizers: BOTH,
    workers: 2,
    shuffles: true,
    isOrdered: true,
    resumes: [],
    units: DOCUMENTS,
    ranks: UNEQUAL,
    how: 'Hugging Face datasets, streaming Parquet in place; 2 workers; buffer of 1,000 documents',
  },
  {
    name: 'grain',
    module: 'grain_loader',
    tokenizers: BOTH,
    workers: 2,
    shuffles: true,
    isOrdered: true,
    resumes: ['text', 'tokens'],
    units: DOCUMENTS,
    ranks: UNEQUAL,
    how: 'Grain over a source of row groups of Parquet in place; 2 workers; row groups permuted, then documents in windows of about 1,000; its own packing',
  },
  {
    name: 'ray',
    module: 'ray_loader',
    tokenizers: BOTH,
    workers: 2,
    shuffles: true,
    isOrdered: false,
    resumes: [],
    units: DOCUMENTS,
    hidesCpu: true,
    how: 'Ray Data, Parquet in place; a Ray of its own with a task a core, whose start is part of the run’s; files shuffled, then windows of 1,000 documents',
  },
  {
    name: 'pyarrow',
    module: 'arrow_scan',
    tokenizers: ['fastokens'],
    workers: 0,
    shuffles: false,
    isOrdered: true,
    resumes: [],
    units: DOCUMENTS,
    ranks: UNEQUAL,
    how: 'the ceiling: a bare scan in file order in the trainer’s process, a tokenizer thread a core; no shuffle, no resume',
  },
];

/** One contestant with one tokenizer, where there is one. */
export interface Entry {
  readonly contestant: Contestant;
  readonly tokenizer: TokenizerName | undefined;
  readonly label: string;
}

export function entriesOf(
  contestants: readonly Contestant[],
  { kind, ranks }: { readonly kind: Kind; readonly ranks?: number },
  wanted: readonly TokenizerName[],
): Entry[] {
  return contestants.flatMap((contestant): Entry[] => {
    if (ranks !== undefined && contestant.ranks === undefined) return [];
    if (kind === 'images' && contestant.images !== true) return [];
    if (kind !== 'text') return [{ contestant, tokenizer: undefined, label: contestant.name }];
    return contestant.tokenizers
      .filter((tokenizer) => tokenizer === 'own' || wanted.includes(tokenizer))
      .map((tokenizer) => ({ contestant, tokenizer, label: tokenizer === 'own' ? contestant.name : `${contestant.name} + ${tokenizer}` }));
  });
}
