/**
 * Memory whose life is known: not filled with zeros when it is made, and given back when nobody reads it any more.
 *
 * V8 frees buffers only when it collects, and collects the whole heap whenever 64 MiB of them were allocated since the last time, with several threads. A
 * sidecar allocates that a few times a second. What is given back at once does not count.
 */

/** With whatever was in memory: every element is written before one is read. */
export function rawBuffer(byteLength: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(byteLength).buffer;
}

/** As `rawBuffer`, whose only view it is. */
export function rawInt32(length: number): Int32Array<ArrayBuffer> {
  return new Int32Array(rawBuffer(4 * length));
}

/** As `rawInt32`. */
export function rawBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(rawBuffer(length));
}

/** A copy, as `rawBytes`. */
export function rawCopy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = rawBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Views of the buffer are empty afterwards. Of one that was released, or transferred, nothing is left to release. */
export function releaseBuffer(buffer: ArrayBuffer): void {
  if (buffer.byteLength === 0) return;
  const own: Transferable = buffer;
  // what Node 20 moves it to is young, and nobody has it: the next small collection frees it
  if (own.transfer === undefined) takeOver(buffer);
  else own.transfer(0);
}

/** The same memory, of which views of the buffer show nothing any more. */
export function takeOver(buffer: ArrayBuffer): ArrayBuffer {
  const own: Transferable = buffer;
  return own.transfer?.(buffer.byteLength) ?? structuredClone(buffer, { transfer: [buffer] });
}

/** Node ≥ 22 has it. */
type Transferable = ArrayBuffer & { transfer?(byteLength: number): ArrayBuffer };
