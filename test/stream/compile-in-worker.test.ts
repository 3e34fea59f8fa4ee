import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { startWorkerEarly, takeWorker } from '../../dist/src/stream/early-worker.js'; // as built: threads are started with files beside it
import { WorkerPool } from '../../dist/src/stream/worker-pool.js';
import { compileTokenizer, readyTokenizer, type CompileElsewhere, type CompiledForms } from '../../dist/src/tokenize/load-tokenizer.js';
import { TOKENIZER_FILE } from '../support/workspace.js';

const OPTIONS = { specialTokens: 'plain' } as const;
const WORD_PIECE = new TextEncoder().encode(
  JSON.stringify({ model: { type: 'WordPiece', unk_token: '[UNK]', vocab: { '[UNK]': 0, the: 1 } }, added_tokens: [] }),
);

/** With nothing in it: what is put into it, by key. */
function emptyForms(): CompiledForms & { readonly kept: Uint8Array[] } {
  const kept: Uint8Array[] = [];
  return { kept, get: () => Promise.resolve(undefined), put: (_key, form) => kept.push(form) };
}

describe('a tokenizer that is compiled in a worker thread', () => {
  const bytes = readFileSync(TOKENIZER_FILE);
  const pools: WorkerPool[] = [];
  /** Whether each call made something there. */
  const made: boolean[] = [];
  afterEach(async () => {
    made.length = 0;
    await Promise.all(pools.splice(0).map((pool) => pool.close()));
  });
  const openCompiler = (): CompileElsewhere => {
    const pool = new WorkerPool(1, () => undefined);
    pools.push(pool);
    return async (source, signal) => {
      const form = await pool.compile(source, signal);
      made.push(form !== undefined);
      return form;
    };
  };

  it('is what this thread would have made, and is kept', async () => {
    const own = compileTokenizer({ bytes, file: 'gpt2', options: OPTIONS }) ?? [];
    const forms = emptyForms();
    let begun = 0;
    const onBegun = (): void => {
      begun++;
    };
    const ready = await readyTokenizer({ bytes, file: 'gpt2', options: OPTIONS, forms, compile: openCompiler(), onBegun });
    expect(made).toEqual([true]);
    expect(begun).toBe(1);
    expect(forms.kept).toHaveLength(1);
    expect(Buffer.from(own).equals(forms.kept[0])).toBe(true);
    expect(ready.prepared.path).toBe('kernel');
    expect(ready.vocabSize).toBe(50_257);
  });

  it('is made here where it has no compiled form', async () => {
    const forms = emptyForms();
    const ready = await readyTokenizer({ bytes: WORD_PIECE, file: 'w', options: OPTIONS, forms, compile: openCompiler() });
    expect(made).toEqual([false]);
    expect(ready.prepared.path).toBe('hugging-face');
    expect(forms.kept).toEqual([]);
  });

  it('is an error with its name where the file is none', async () => {
    const broken = new TextEncoder().encode('{"model": {"type": "BPE", "vocab": 3}}');
    const ready = readyTokenizer({
      bytes: broken,
      file: 'x/tokenizer.json',
      options: OPTIONS,
      forms: emptyForms(),
      compile: openCompiler(),
    });
    await expect(ready).rejects.toMatchObject({
      code: 'TOKENIZER_INVALID',
      message: expect.stringContaining('x/tokenizer.json') as string,
    });
  });

  it('is made here where the thread ends', async () => {
    const compiling = openCompiler()({ bytes, file: 'gpt2', options: OPTIONS });
    await pools[0].close();
    expect(await compiling).toBeUndefined();
  });
});

describe('a worker thread that starts early', () => {
  it('is taken once', async () => {
    const early = startWorkerEarly();
    const [first, second] = [takeWorker(), takeWorker()];
    expect(first).toBe(early);
    expect(second).not.toBe(early);
    await Promise.all([first.terminate(), second.terminate()]);
  });

  it('is not taken if it has ended', async () => {
    const early = startWorkerEarly();
    await early.terminate();
    const taken = takeWorker();
    expect(taken).not.toBe(early);
    expect(taken.threadId).toBeGreaterThan(0);
    await taken.terminate();
  });
});
