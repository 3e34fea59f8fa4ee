/** The loop of the proof: a corpus through the product and through the reference, part by part, and what came of it. */
import type { DocumentEncoder, TokenizedDocuments } from '../../src/tokenize/tokenizer.js';
import { describeDifference, differingDocuments } from './comparison.js';
import type { Documents } from './documents.js';
import type { Reference } from './reference.js';
import type { SpecialTokens, TokenizerFile } from './tokenizers.js';

/** Documents of one kind. */
export interface Corpus {
  readonly name: string;
  /** The ways to read special tokens that it is compared in. */
  readonly special: readonly SpecialTokens[];
  /** From the start at every call. */
  parts(): Iterable<Documents>;
}

export interface Outcome {
  readonly documents: number;
  readonly bytes: number;
  /** Documents whose ids are not the reference's. */
  readonly mismatches: number;
  /** The first few of them. */
  readonly reports: readonly string[];
}

/** One tokenizer of the product, and the reference for the same file. */
export interface Subject {
  readonly file: TokenizerFile;
  readonly reference: Reference;
  product(special: SpecialTokens): DocumentEncoder;
}

export interface Request {
  readonly corpus: Corpus;
  readonly special: SpecialTokens;
  readonly seed: number;
  readonly reportsMax: number;
}

/** Rejects where the product throws, naming the document. */
export async function checkCorpus(subject: Subject, { corpus, special, seed, reportsMax }: Request): Promise<Outcome> {
  const outcome = { documents: 0, bytes: 0, mismatches: 0, reports: [] as string[] };
  const product = subject.product(special);
  const place = (document: number): string =>
    `${subject.file.name} · ${corpus.name} · special tokens ${special === 'plain' ? 'as text' : 'match'} · seed ${seed} · document ${outcome.documents + document}`;
  for (const part of corpus.parts()) {
    const { answer } = await subject.reference.encode(part, special);
    let actual: TokenizedDocuments | undefined;
    let thrown: unknown;
    try {
      actual = product.encodeBatch(part.bytes, part.bounds); // while Python works on the same
    } catch (error) {
      thrown = error;
    }
    const expected = await answer;
    if (actual === undefined) throw new Error(`${place(firstThrowing(product, part))}: the product threw`, { cause: thrown });
    for (const document of differingDocuments({ expected, actual })) {
      outcome.mismatches++;
      if (outcome.reports.length === reportsMax) continue;
      outcome.reports.push(`${place(document)}\n${describeDifference(subject.file, part, { expected, actual }, document)}`);
    }
    outcome.documents += part.bounds.length - 1;
    outcome.bytes += part.bytes.length;
  }
  return outcome;
}

/** The first document that throws also alone; 0 where none does. */
function firstThrowing(product: DocumentEncoder, { bytes, bounds }: Documents): number {
  for (let document = 0; document < bounds.length - 1; document++) {
    try {
      product.encodeBatch(bytes, bounds.subarray(document, document + 2));
    } catch {
      return document;
    }
  }
  return 0;
}
