import { execFileSync } from 'node:child_process';
import { copyFile, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Batch, ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldBytesOfRow } from '../../src/core/fields.js';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { expectExactResumes, runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/same_table.py', import.meta.url));
const FILES = ['plain.arrow', 'zstd.arrows'];
const TEMPLATE =
  "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ m.calls }}{% endgeneration %}{% else %}{{ m.content }}{% endif %} {{ about }}\n{% endfor %}";

/** What is delivered of a row does not depend on the format that it lies in; the order does, since record batches are no row groups. */
describe.skipIf(PYTHON === undefined)('samples and chats from Arrow', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    execFileSync(PYTHON!, [SCRIPT, 'write', workspace.path('all'), '7']);
    for (const file of ['table.parquet', ...FILES]) {
      await mkdir(workspace.path(file));
      await copyFile(workspace.path('all', file), workspace.path(file, file));
    }
  }, 60_000);
  afterAll(() => workspace.remove());

  const config = (file: string, changes: Partial<ConfigInput>, source: Partial<ConfigInput['sources'][string]>): ConfigInput =>
    smallConfig(workspace, {
      seed: 7,
      sources: { same: { uri: workspace.path(file), ...source } },
      tokenizer: undefined,
      badRows: 'skip',
      ...changes,
    });

  /** Batches, and from every tenth step on again. */
  async function collect(input: ConfigInput): Promise<readonly Batch[]> {
    const { batches } = await runPipeline(input);
    await expectExactResumes(input, batches, { first: 9 });
    return batches;
  }

  it('samples have the same fields, of the rows that the same filter takes', async () => {
    const samples = async (file: string): Promise<Map<number, string>> => {
      const source = {
        id: 'id',
        fields: { image: 'f_struct.image.bytes', emb: 'l_half', text: 'f_text_view', label: 'f_uint8' },
        where: { i32: { gte: 20 }, dict: { not: 'zz' } },
      };
      const rows = new Map<number, string>();
      for (const { cuSeqlens, segments, rows: count, length, fields = {} } of await collect(config(file, { sequence: 'none' }, source))) {
        for (let slot = 0; slot < count; slot++) {
          const at = SEGMENT_FIELDS * cuSeqlens.indexOf(slot * length);
          if (segments[at] === SOURCE_PADDING) continue;
          const own = Object.values(fields).map((field) => Buffer.from(fieldBytesOfRow(field, slot)).toString('hex'));
          rows.set(segments[at + 2], own.join(' '));
        }
      }
      return rows;
    };
    const expected = await samples('table.parquet');
    expect(expected.size).toBeGreaterThan(20);
    for (const file of FILES) expect(await samples(file), file).toEqual(expected);
  }, 60_000);

  it('chats have the same ids and masks', async () => {
    const chats = async (file: string): Promise<Map<number, string>> => {
      const source = { messages: 'large', columns: ['about'], template: TEMPLATE, where: { b: true } };
      const changes: Partial<ConfigInput> = { tokenizer: { file: TOKENIZER_FILE }, sequence: { length: 64 } };
      const rows = new Map<number, [number, number][]>();
      for (const { inputIds, lossMask, cuSeqlens, segments } of await collect(config(file, changes, source))) {
        for (let i = 0; i < cuSeqlens.length - 1; i++) {
          const [owner, , row, tokenStart] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
          if (owner === SOURCE_PADDING) continue;
          const own = rows.get(row) ?? [];
          rows.set(row, own);
          for (let at = cuSeqlens[i]; at < cuSeqlens[i + 1]; at++) own[tokenStart + at - cuSeqlens[i]] = [inputIds[at], lossMask[at]];
        }
      }
      return new Map([...rows].map(([row, tokens]) => [row, tokens.join(' ')]));
    };
    const expected = await chats('table.parquet');
    expect(expected.size).toBeGreaterThan(20);
    for (const file of FILES) expect(await chats(file), file).toEqual(expected);
  }, 60_000);
});
