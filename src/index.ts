/** Everything that a user of the package may import. A test pins this list. */
export { labelsOf, positionIdsOf, type LabelOptions, type PositionOptions } from './batch/targets.js';
export { changeMixture, type ChangeMixtureOptions } from './client/change-mixture.js';
export { connect, type ConnectOptions, type MicroBatchedOptions, type SidecarClient } from './client/client.js';
export { fieldOfRow, type BatchFields, type FieldArrays, type FieldDtype } from './core/fields.js';
export { loadConfig, parseConfig, type Config, type ConfigInput } from './config/config.js';
export { ERROR_CODES, HeadraceError, type ErrorCode, type ErrorDetail } from './core/errors.js';
export type { SkipReason, SkipRecord } from './core/skip.js';
export {
  openPipeline,
  type Pipeline,
  type PipelineInfo,
  type PipelineOptions,
  type ShardInfo,
  type SourceInfo,
  type StreamRequest,
} from './pipeline.js';
export { mergeCursors, parseCursor, type Cursor, type PlanRecord, type RowsGiven } from './plan/cursor.js';
export type { MixtureChange } from './plan/mixture-changes.js';
export { showStep, type ShownSegment, type ShownSlot, type ShownStep, type ShowRequest } from './showing.js';
export { fileStore } from './store/file.js';
export { memoryStore, type MemoryStore } from './store/memory.js';
export { s3Store, type S3Options } from './store/s3.js';
export type { ByteRange, ObjectInfo, ReadOptions, Store } from './store/store.js';
export type { MadeStep } from './stream/assembler.js';
export type { MicroBatch } from './stream/micro-batches.js';
export type { Batch, RankStream } from './stream/rank-stream.js';
export { loadTokenizer, type LoadTokenizerOptions } from './open-tokenizer.js';
export { parseTokenizer } from './tokenize/load-tokenizer.js';
export type { TokenizedDocuments, Tokenizer, TokenizerOptions } from './tokenize/tokenizer.js';
