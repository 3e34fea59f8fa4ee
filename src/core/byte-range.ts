/** Which bytes of an object. */

/** Half-open. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}
