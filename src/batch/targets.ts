/** What a trainer makes of a batch for its model: labels and positions. The Python client has the same; test/spec/targets.json holds both to it. */
import type { BatchArrays } from '../core/batch-arrays.js';

/** The label that cross-entropy leaves out, in PyTorch and Hugging Face. */
const IGNORE_INDEX = -100;

export interface LabelOptions {
  /** Also masks the first token of every segment, so that none is predicted from another document; default false. */
  readonly maskBoundaries?: boolean;
}

/** [rows × length]: equal to `inputIds` and not shifted, −100 where a token does not count for the loss. The caller owns them. */
export function labelsOf(
  { inputIds, lossMask, cuSeqlens }: Pick<BatchArrays, 'inputIds' | 'lossMask' | 'cuSeqlens'>,
  { maskBoundaries = false }: LabelOptions = {},
): Int32Array<ArrayBuffer> {
  const labels = inputIds.slice();
  for (let i = 0; i < labels.length; i++) if (lossMask[i] === 0) labels[i] = IGNORE_INDEX;
  if (maskBoundaries) for (let segment = 0; segment < cuSeqlens.length - 1; segment++) labels[cuSeqlens[segment]] = IGNORE_INDEX;
  return labels;
}

export interface PositionOptions {
  /** Where positions start again at 0: with each `document` (a segment: a document's piece in a row), or with each `row`; default `document`. */
  readonly restart?: 'document' | 'row';
}

/** [rows × length] positions. The caller owns them. */
export function positionIdsOf(
  { rows, length, cuSeqlens }: Pick<BatchArrays, 'rows' | 'length' | 'cuSeqlens'>,
  { restart = 'document' }: PositionOptions = {},
): Int32Array<ArrayBuffer> {
  const positions = new Int32Array(rows * length);
  const starts = restart === 'document' ? cuSeqlens : Int32Array.from({ length: rows + 1 }, (_, row) => row * length);
  for (let i = 0; i < starts.length - 1; i++) {
    for (let at = starts[i]; at < starts[i + 1]; at++) positions[at] = at - starts[i];
  }
  return positions;
}
