/** The configuration of a run: what the YAML file may say, what each key means, and what holds where it says nothing. `docs/configuration.md` is generated from here. */
import * as z from 'zod';
import { FIELD_TYPE_NAMES } from '../core/fields.js';
import { FORMAT_NAMES } from '../core/format.js';
import { parseDuration, parseSize } from '../core/quantity.js';
import { LIMITS } from './limits.js';
import { whereSchema } from './where.js';

const size = (min: number, max: number) =>
  z
    .union([z.number(), z.string()])
    .transform((value, context) => {
      const bytes = typeof value === 'number' ? value : parseSize(value);
      if (bytes !== undefined && Number.isSafeInteger(bytes) && bytes >= min && bytes <= max) return bytes;
      context.addIssue({ code: 'custom', message: `expected a size from ${min} to ${max} bytes, such as 64MiB`, input: value });
      return z.NEVER;
    })
    .meta({ kind: 'size' });

const duration = (min: number, max: number) =>
  z
    .union([z.number(), z.string()])
    .transform((value, context) => {
      const ms = typeof value === 'number' ? value : parseDuration(value);
      if (ms !== undefined && ms >= min && ms <= max) return ms;
      context.addIssue({ code: 'custom', message: `expected a duration from ${min} ms to ${max} ms, such as 20s`, input: value });
      return z.NEVER;
    })
    .meta({ kind: 'duration' });

const weight = z.number().min(0).max(1e9);
const epochs = z.int().min(1).max(1e6);

const csvSchema = z.strictObject({
  delimiter: z
    .string()
    .length(1)
    .optional()
    .describe('What separates values: one ASCII character. Left out: a tab where the name ends in `.tsv`, else a comma.'),
  quote: z
    .union([z.string().length(1), z.literal(false)])
    .default('"')
    .describe('What values may be quoted with; two of them stand for one. `false`: nothing is.'),
  header: z
    .union([z.boolean(), z.array(z.string().min(1)).min(1)])
    .default(true)
    .describe('Whether the first record names the columns; or their names, in order, where no record does. `false`: they are `0`, `1` …'),
});

const arraySchema = z.strictObject({
  dtype: z
    .enum(['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64'])
    .optional()
    .describe(
      'The type of the ids in files of `format: tokens`, or in a column of bytes of `format: mds`, little-endian. Those that llm.c writes say it themselves, as `.npy` and Megatron do.',
    ),
  header: z
    .int()
    .min(0)
    .max(2 ** 30)
    .optional()
    .describe('Bytes before the first id in files of `format: tokens`. Left out: 1024 where they are a header of llm.c, else 0.'),
  eosId: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .optional()
    .describe(
      'The id that ends each document of one long stream of ids: a row is a document, with that id. Left out: a row has `rowTokens` ids. Finding the documents takes one pass over the data, when the manifest is made.',
    ),
  rowTokens: z
    .int()
    .min(1)
    .max(LIMITS.sequenceLengthMax)
    .optional()
    .describe('Ids in a row of one long stream of ids without `eosId`. Left out: `sequence.length`.'),
});
const fieldName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/, 'a field name has 1 to 64 letters, digits or _, and starts with a letter');
const fieldSchema = z.union([
  z.string().min(1),
  z.strictObject({
    column: z.string().min(1).describe('The column; of a tar the member, as `text` names it.'),
    size: z
      .int()
      .min(1)
      .max(LIMITS.fieldSizeMax)
      .optional()
      .describe('Numbers in each list of the column. Left out: what the metadata of the shards says, where it is one number for all.'),
    type: z
      .enum(FIELD_TYPE_NAMES)
      .optional()
      .describe(
        'What the values are served as. Left out: what the metadata of the shards says; `text` of JSON and separated values, which have no types. Where the metadata says another type, the run is refused.',
      ),
    missing: z
      .null()
      .optional()
      .describe(
        '`null`: a row without a value (null, or a member or a field of JSON that is not there) is served without it, and `NAME.present` says which rows have it. Left out: it is a bad row.',
      ),
  }),
]);

const sourceSchema = z
  .strictObject({
    uri: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe(
        'Where the shards are: a directory or prefix (ending in `/`), a glob, names by number (`shard-{000..146}.tar`), one object, or a list of these. A path, or a URI of docs/storage.md: `s3://`, `gs://`, `az://`, `hf://`, `https://`. Relative paths start at the configuration file.',
      ),
    index: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A file that `headrace index` wrote: a path, or any URI that a source may have. A start then lists nothing and reads no footer; an object that has changed since is `SHARD_CHANGED`, and a new one is not seen. The stream does not depend on it.',
      ),
    format: z.enum(FORMAT_NAMES).optional().describe('The format of the shards. Left out: what their names say.'),
    scan: z
      .enum(['ahead', 'as-read'])
      .default('ahead')
      .describe(
        'Of JSON lines, separated values, plain text and tars, which say nothing of their rows: `ahead` passes over all shards before the first batch, once. `as-read` opens a shard when its turn comes, so that the first batch waits for one shard a lane; whole shards are then what is shuffled (docs/formats.md#shards-that-are-opened-as-they-are-read). Part of the plan.',
      ),
    text: z
      .string()
      .min(1)
      .optional()
      .describe(
        'The column to tokenize; a field of a struct or of JSON by its path: `meta.body`; of a tar the member, or a field of its JSON (`txt`, `json.caption`, the first of `txt;caption`: docs/formats.md). `text`, unless `tokens` is given.',
      ),
    csv: csvSchema.optional().describe('How separated values are written (docs/formats.md).'),
    lines: z.boolean().default(false).describe('Of plain text: `true`, a document a line that is not blank; `false`, a document a file.'),
    tokens: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A column of lists of token ids (integers of 8 to 64 bits), instead of `text`: nothing is tokenized or appended. Of a tar a member such as `input_ids.npy`, or `json.input_ids`.',
      ),
    array: arraySchema
      .optional()
      .describe(
        'Of files that hold token ids and nothing else (`format: npy`, `megatron` or `tokens`; docs/formats.md): neither `text` nor `tokens` is given. With `format: mds`, `dtype` says what a column of bytes in `tokens` holds.',
      ),
    messages: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A column of chats, instead of `text`: lists of messages (`role`, `content` and what else the template reads), or the JSON text of such a list. They are rendered with `template` and tokenized; nothing is appended. See docs/formats.md.',
      ),
    template: z
      .string()
      .min(1)
      .optional()
      .describe(
        "With `messages`: the chat template, as Jinja text or as the path or URI of a file of it. Left out: the tokenizer's own, `chat_template.jinja` or the `chat_template` of the `tokenizer_config.json` beside it. Part of the plan by content.",
      ),
    loss: z
      .enum(['assistant', 'all'])
      .optional()
      .describe(
        "With `messages`, which tokens count for the loss. `assistant`: those of the assistant's messages. `all`: all of them. Left out: `assistant`.",
      ),
    columns: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        'With `messages` or `transform`: more columns, which the template has as variables (`tools`, `documents`, …), and the transform in its rows, by the last part of their names: `tools` of `meta.tools`.',
      ),
    transform: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A module (`.js`, `.mjs`; a path or URI) that makes of each row the rows that are taken: `export default (row, ctx) => row | rows | null`, for cleaning, templating and splitting. The row has the column of `text`, `tokens` or `messages`, or with `sequence: none` the `fields`, and `columns`; a chat template comes after it. Part of the plan by content. See docs/transforms.md.',
      ),
    id: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A column of strings or integers that names each document; of a tar `__key__`, or a member. Read only where `exclude` or `validation` asks for ids, and by `headrace show`.',
      ),
    fields: z
      .record(fieldName, fieldSchema)
      .refine((fields) => Object.keys(fields).length <= LIMITS.fieldsMax, `a source has at most ${LIMITS.fieldsMax} fields`)
      .optional()
      .describe(
        'With `sequence: none` or `packing: samples`: what to serve of each row beside its tokens, or without any, by the name that a batch has it under: a column (`image: jpg`), a part of a struct (`image: image.bytes`), of a tar a member (`image: jpg;png`), or `{column, size, type}` where the data does not say how many numbers its lists have, or what they are (JSON, CSV); `missing: null` beside `column` where rows may be without it. Bytes, text, integers, floats, booleans, and lists of a fixed size of numbers (docs/formats.md). Sources of one run have the same fields.',
      ),
    exclude: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe(
        'Lists of documents to leave out, by id or by shard and row: paths or URIs that end in `.txt`, `.jsonl`, `.csv`, `.tsv` or `.parquet` (docs/concepts.md has the forms). The order of the others stays as it is. Part of the plan by content.',
      ),
    where: whereSchema
      .optional()
      .describe(
        'Which documents to take, by other columns: `{language: en, quality: {gte: 0.5}}`. All keys must hold; each is a column (nested fields with dots) or a partition of the path (`lang=en/`), and has a value, a list of values, or operators: `eq`, `in`, `gt`, `gte`, `lt`, `lte`, `between`, `not`, `isNull`, `startsWith`. `any:`, `all:` and `not:` join such maps. See docs/concepts.md. Part of the plan.',
      ),
    weight: weight.default(1).describe("The source's share of the delivered tokens, relative to the other sources' weights. 0: none."),
    epochs: epochs
      .optional()
      .describe('How often each row of this source is delivered before the source is used up. Left out: as the other sources (`epochs`).'),
    maxTokens: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Tokens after which the source is used up, if it was not before: each lane delivers its part, and ends with the sequence that reaches it.',
      ),
    whenUsedUp: z
      .enum(['drop', 'stop', 'repeat'])
      .default('drop')
      .describe(
        'What happens in a lane when the source is used up. `drop`: the weights of the others are renormalised. `stop`: the lane ends. `repeat`: the source has no end, and a lane ends when the sources that have one are used up.',
      ),
  })
  .refine((source) => source.text === undefined || source.tokens === undefined, {
    message: 'give either text or tokens, not both',
    path: ['tokens'],
  })
  .refine((source) => source.messages === undefined || (source.text === undefined && source.tokens === undefined), {
    message: 'give messages without text or tokens',
    path: ['messages'],
  })
  .refine((source) => source.messages !== undefined || source.template === undefined, {
    message: 'a template renders messages: name their column',
    path: ['template'],
  })
  .refine((source) => source.messages !== undefined || source.loss === undefined, {
    message: 'loss is chosen for messages: name their column',
    path: ['loss'],
  })
  .refine((source) => source.messages !== undefined || source.transform !== undefined || source.columns === undefined, {
    message: 'columns are variables of the template of messages, or of the rows of a transform: name the one or the other',
    path: ['columns'],
  })
  .refine(({ whenUsedUp, epochs: own, maxTokens }) => whenUsedUp !== 'repeat' || (own === undefined && maxTokens === undefined), {
    message: 'a source that repeats has no end: give it neither epochs nor maxTokens',
    path: ['whenUsedUp'],
  });

const changeSchema = z.strictObject({
  at: z.int().min(0).max(LIMITS.stepMax).describe('The first step with other weights.'),
  weights: z.record(z.string(), weight).describe('By source; a source that is not named keeps its weight.'),
  ramp: z
    .int()
    .min(0)
    .max(LIMITS.stepMax)
    .default(0)
    .describe(
      'Steps in which the weights go from the old to the new ones, in equal parts. 0: at once. The next change ends a ramp where it is.',
    ),
});

const tokenizerSchema = z.strictObject({
  file: z
    .string()
    .min(1)
    .describe('A Hugging Face `tokenizer.json`: a path, relative to the configuration file, or any URI that a source may have.'),
  append: z.enum(['eos', 'none']).default('eos').describe('What follows each document of text: the end-of-sequence token, or nothing.'),
  eos: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The end-of-sequence token, as text. Left out: the `eos_token` of the `tokenizer_config.json` beside the file, else the only well-known one among its special tokens.',
    ),
  invalidUtf8: z
    .enum(['error', 'replace'])
    .default('error')
    .describe(
      'Text that is not valid UTF-8. `error`: its row is a bad one (see `badRows`). `replace`: what is not valid becomes U+FFFD, as Python has it with `errors="replace"`.',
    ),
  specialTokens: z
    .enum(['plain', 'match'])
    .default('plain')
    .describe(
      'Special tokens that a document has in its text. `plain`: text like any other, so that no document brings control tokens with it. `match`: they become their ids. Added tokens that the file does not mark special are matched either way.',
    ),
});

const sequenceSchema = z.strictObject({
  length: z.int().min(2).max(LIMITS.sequenceLengthMax).default(2048).describe('Tokens in a sequence.'),
  packing: z
    .enum(['concat', 'best-fit', 'pad', 'none', 'samples'])
    .default('concat')
    .describe(
      'How documents become sequences (docs/packing.md). `concat`: joined and cut at `length`; a document that is cut goes on in the next sequence; only the last sequence of a window is padded. `best-fit`: fitted together so that only documents longer than `length` are cut. `pad`: one document a sequence. `none`: rows of a token column that have exactly `length` ids pass through; a row of another length is a bad one (see `badRows`). `samples`: a row is a sample with its `fields`, `batch.size` of them a step; the tokens of its `text`, `tokens` or `messages`, where it has any, are padded, or cut at `length`.',
    ),
  packingTokens: z
    .int()
    .min(2)
    .max(LIMITS.packingTokensMax)
    .optional()
    .describe(
      `With \`packing: best-fit\`: documents are fitted together in groups of this many tokens, or what their window has. Larger groups waste less, and take longer to the first sequence and to resume. Left out: ${LIMITS.packingSequencesDefault} × \`length\`, at most ${LIMITS.packingTokensMax}.`,
    ),
  long: z
    .enum(['split', 'truncate'])
    .optional()
    .describe(
      'With `packing: pad`, what happens to a document longer than `length`. `split`: it takes several sequences. `truncate`: what does not fit is dropped, and counted. Left out: `split`.',
    ),
  padId: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .optional()
    .describe('The token of padding. Left out: the end-of-sequence token, else 0.'),
});

const shuffleSchema = z.strictObject({
  blocks: z
    .int()
    .min(1)
    .max(LIMITS.shuffleBlocksMax)
    .default(LIMITS.shuffleBlocksDefault)
    .describe('How many blocks are shuffled together.'),
  windowBytes: size(LIMITS.windowBytesMin, LIMITS.windowBytesMax)
    .prefault('16MiB')
    .describe('How much decoded data is shuffled row by row at a time. Part of the plan: another value gives another order.'),
});

const batchSchema = z.strictObject({
  size: z.int().min(1).max(LIMITS.batchSizeMax).default(64).describe('Sequences in a global batch: of all ranks together, at one step.'),
  lanes: z
    .int()
    .min(1)
    .max(LIMITS.lanesMax)
    .optional()
    .describe(
      `Independent streams; divides \`size\`. Bounds how many machines can share the work. Left out: the largest divisor of \`size\` that is at most ${LIMITS.lanesDefault}.`,
    ),
});

const validationSchema = z.strictObject({
  share: z.number().gt(0).lt(1).describe('The share of the documents that is held out of training and served as `split: validation`.'),
  by: z
    .enum(['id', 'row'])
    .default('row')
    .describe(
      'What decides about a document, with the name of its source: its `id`, so that it stays in its split wherever it moves to, or the path of its shard and its row.',
    ),
  seed: z
    .int()
    .min(0)
    .default(0)
    .describe('Chooses other documents. `seed` does not: runs that differ in their order are validated on the same documents.'),
});

const storageSchema = z.strictObject({
  s3: z
    .strictObject({
      endpoint: z.url().optional().describe('The address of an S3-compatible server. Left out: AWS.'),
      region: z.string().min(1).optional().describe('Left out: from the environment or the shared AWS files, else us-east-1.'),
      forcePathStyle: z
        .boolean()
        .default(false)
        .describe('Address buckets by path instead of by host name, as MinIO and most servers of one machine need.'),
      anonymous: z.boolean().default(false).describe('Send requests without credentials, for public buckets.'),
      requestPayer: z
        .boolean()
        .default(false)
        .describe('Read buckets of the kind "requester pays": their requests and bytes go on the bill of the credentials.'),
    })
    .prefault({})
    .describe(
      'S3. Credentials come from the standard chain (environment, shared files, instance or container role), never from this file.',
    ),
  gcs: z
    .strictObject({
      endpoint: z
        .url()
        .optional()
        .describe('The address of a server that speaks the JSON API. Left out: `STORAGE_EMULATOR_HOST`, else Google.'),
      anonymous: z.boolean().default(false).describe('Send requests without credentials, for public buckets.'),
    })
    .prefault({})
    .describe('Google Cloud Storage. Credentials are the Application Default Credentials, never from this file.'),
});

// lease: long enough for a checkpoint that stops a trainer's threads; grace: inside the 30 s that Kubernetes gives
const serveSchema = z.strictObject({
  address: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Where trainers connect: `ipc://PATH`, or `tcp://127.0.0.1:PORT`. Left out: an ipc socket in a private directory, derived from the path of the configuration file.',
    ),
  metrics: z
    .string()
    .min(1)
    .optional()
    .describe('`HOST:PORT` of `/metrics`, `/healthz` and `/readyz`. Left out: none. Port 0: any free one.'),
  lease: duration(1_000, 3600_000).prefault('30s').describe('A trainer that says nothing for this long is forgotten.'),
  grace: duration(0, 3600_000).prefault('20s').describe('How long after SIGTERM the connected trainers are still served.'),
});

// fetchBytes: twice eight lanes × 16 MiB, so that one window ahead never waits for the budget
const limitsSchema = z.strictObject({
  workers: z
    .int()
    .min(1)
    .max(LIMITS.workersMax)
    .optional()
    .describe('Worker threads. Left out: cores − 1, of two cores both. The stream does not depend on it.'),
  fetchBytes: size(2 ** 20, 2 ** 40)
    .prefault('256MiB')
    .describe('Bytes fetched and not yet decoded, over all lanes. The stream does not depend on it.'),
});

export const configSchema = z.strictObject({
  seed: z.int().min(0).default(0).describe('The seed of every order.'),
  sources: z
    .record(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a source name has 1 to 64 letters, digits, _ or -'), sourceSchema)
    .refine((sources) => Object.keys(sources).length > 0, 'at least one source is needed')
    .refine((sources) => Object.values(sources).some((source) => source.weight > 0), 'a source with a weight above 0 is needed')
    .describe('Named sets of shards.'),
  mixture: z.array(changeSchema).default([]).describe('Changes of the weights, by step.'),
  tokenizer: tokenizerSchema.optional().describe('Needed by sources of text.'),
  sequence: z
    .union([z.literal('none'), sequenceSchema])
    .prefault({})
    .describe('`none`: no sequences of tokens, but samples of `fields`: as `packing: samples`, of sources without `text` or `tokens`.'),
  shuffle: z
    .union([z.literal(false), shuffleSchema])
    .prefault({})
    .describe('`false`: file order.'),
  batch: batchSchema.prefault({}),
  epochs: epochs.optional().describe('How often each row is delivered. Left out: for ever.'),
  last: z
    .enum(['drop', 'pad'])
    .default('drop')
    .describe('Where the stream ends: whether the last, incomplete step is left out, or filled with sequences of padding.'),
  lengths: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Of a run that ends: a file that `headrace index --lengths` wrote, a path or any URI that a source may have. Each sidecar then computes the lanes of its own ranks, and not those of all others (docs/concepts.md#ends). Lengths of another plan are `INDEX_INVALID`. The stream does not depend on it.',
    ),
  validation: validationSchema
    .optional()
    .describe('A fixed share of the documents of all sources that is never served to training. Left out: none.'),
  storage: storageSchema.prefault({}),
  cache: z
    .strictObject({
      dir: z
        .string()
        .min(1)
        .default('~/.cache/headrace')
        .describe('Where manifests, compiled tokenizers, byte ranges and tokens are kept between runs. Processes may share it.'),
      ranges: z
        .union([z.literal('auto'), z.boolean()])
        .default('auto')
        .describe(
          'Which byte ranges of remote shards are kept. `auto`: those that the run will read again, which are none in the last of its `epochs`, and no text whose tokens are kept; `true`: all of them, for other runs as well; `false`: none, and none are read. The stream does not depend on it.',
        ),
      tokens: z
        .boolean()
        .default(false)
        .describe(
          'Whether the tokens of text are kept: a second epoch, or a second job with the same windows, neither fetches nor tokenizes. Two bytes a token, four where the vocabulary has more than 65,536. The stream does not depend on it.',
        ),
      size: size(0, 2 ** 50)
        .prefault(LIMITS.cacheBytesDefault)
        .describe(
          'Bytes of all byte ranges and tokens; what the plan needs last makes room. 0: none are kept. Whatever it says, 5 % of the disk stay free.',
        ),
      fsync: z
        .enum(['never', 'data'])
        .default('never')
        .describe(
          'Whether each of them is on the medium before it counts. `never` is faster, and as safe: what a power cut damages shows by its checksum, and is fetched again.',
        ),
    })
    .prefault({}),
  badRows: z
    .enum(['fail', 'skip'])
    .default('fail')
    .describe(
      'What happens at a row without a value, with invalid UTF-8, or with token ids out of range: the run fails and names it, or the row is left out and counted.',
    ),
  run: z
    .strictObject({
      dir: z
        .string()
        .min(1)
        .optional()
        .describe(
          'A directory of this run alone, shared by all its machines: where changes of weights that are made while running (`headrace mix`) are agreed on.',
        ),
    })
    .prefault({}),
  ledger: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A directory where each step that is made is written down, with its digest and the positions of its lanes, and each row that is left out: what `headrace audit` checks. All machines of a run may share it. The stream does not depend on it. Left out: none.',
    ),
  badBlocks: z
    .enum(['fail', 'skip'])
    .default('fail')
    .describe(
      'What happens where an object is gone after the start, or its pages are damaged, also when they are read anew: the run fails and names it, or the rows of the window that need them are left out, counted, and named in the log; all other rows keep their order and places. An object that was changed, access that is denied, and a store that does not answer end the run either way.',
    ),
  serve: serveSchema.prefault({}),
  limits: limitsSchema.prefault({}),
});

/** What a user writes: a YAML file, or the same as an object. */
export type ConfigInput = z.input<typeof configSchema>;
/** The same with every default filled in. */
export type ParsedConfig = z.output<typeof configSchema>;
