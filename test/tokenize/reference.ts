/** The Python package tokenizers behind a promise: one process a tokenizer, documents and ids through files. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TokenizedDocuments } from '../../src/tokenize/tokenizer.js';
import type { Documents } from './documents.js';
import { ROOT, type SpecialTokens, type TokenizerFile } from './tokenizers.js';

const SCRIPT = path.join(ROOT, 'test', 'tokenize', 'reference.py');

export interface Reference {
  /** Of the Python package. */
  readonly version: string;
  /** One at a time. The promise is returned once Python was told, so that the caller may work on the same documents meanwhile. */
  encode(documents: Documents, special: SpecialTokens): Promise<{ readonly answer: Promise<TokenizedDocuments> }>;
  close(): Promise<void>;
}

/** Rejects, with what Python wrote to its standard error, when it ends before it answered. */
export async function openReference(python: string, file: TokenizerFile): Promise<Reference> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-reference-'));
  const child = spawn(python, [SCRIPT, file.path], { stdio: ['pipe', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  child.stdin.on('error', () => undefined); // a process that is gone is reported by nextLine
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done !== true) return line.value;
    await exited;
    throw new Error(`the reference of ${file.name} ended: ${complaint}`);
  };
  const close = async (): Promise<void> => {
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill();
      await exited;
    }
    await rm(dir, { recursive: true });
  };

  const documentsFile = path.join(dir, 'documents');
  const answerFile = path.join(dir, 'answer');
  const readAnswer = async (documents: number): Promise<TokenizedDocuments> => {
    await nextLine();
    const answer = parseAnswer(await readFile(answerFile));
    if (answer.bounds.length !== documents + 1)
      throw new Error(`the reference answered ${answer.bounds.length - 1} of ${documents} documents`);
    return answer;
  };
  try {
    const { version } = JSON.parse(await nextLine()) as { version: string };
    return {
      version,
      encode: async (documents, special) => {
        await writeFile(documentsFile, formatDocuments(documents));
        const request = { documents: documentsFile, answer: answerFile, encode_special_tokens: special === 'plain' };
        await new Promise((resolve) => child.stdin.write(`${JSON.stringify(request)}\n`, resolve));
        return { answer: readAnswer(documents.bounds.length - 1) };
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function formatDocuments({ bytes, bounds }: Documents): Uint8Array[] {
  const head = new BigInt64Array(bounds.length + 1);
  head[0] = BigInt(bounds.length - 1);
  for (const [i, bound] of bounds.entries()) head[i + 1] = BigInt(bound);
  return [new Uint8Array(head.buffer), bytes];
}

function parseAnswer(file: Buffer): TokenizedDocuments {
  const { buffer } = Uint8Array.from(file); // aligned, and not of the pool
  const [count] = new BigInt64Array(buffer, 0, 1);
  const bounds = Int32Array.from(new BigInt64Array(buffer, 8, Number(count) + 1), Number);
  return { ids: new Int32Array(buffer, 8 * (Number(count) + 2)), bounds };
}
