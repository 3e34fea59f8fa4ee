/** Cuts the documents of a Megatron index into units, and checks that they lie one after the other. The worker's half of a scan. */
import { createHash } from 'node:crypto';

export interface MegatronRequest {
  /**
   * Parts of the index's arrays, one after the other: sequence numbers of the documents' starts (int64) with the end of the last; the places of those
   * sequences in the file of ids (int64); their lengths (int32). Transferred.
   */
  readonly bytes: Uint8Array;
  readonly documents: number;
  readonly startSequence: number;
  readonly endSequence: number;
  /** Bytes of an id. */
  readonly width: number;
  /** Where the first sequence must start. */
  readonly startByte: number;
  /** A unit has at most so many ids, or one document. */
  readonly unitIds: number;
  /** And a document at most so many. */
  readonly documentIdsMax: number;
}

export interface MegatronDocuments {
  /** Three numbers a unit: its documents, and where it ends, in bytes of the file of ids and in sequences. */
  readonly units: Float64Array;
  /** Where the last sequence ends. */
  readonly endByte: number;
  /** SHA-256 (hex). */
  readonly digest: string;
  /** What is wrong with the index. */
  readonly problem: string | undefined;
}

export function cutMegatronDocuments(request: MegatronRequest): MegatronDocuments {
  const { bytes, documents, startSequence, endSequence, width, startByte, unitIds, documentIdsMax } = request;
  const sequences = endSequence - startSequence;
  const { buffer, byteOffset } = bytes;
  const starts = new BigInt64Array(buffer, byteOffset, documents + 1);
  const pointers = new BigInt64Array(buffer, byteOffset + 8 * (documents + 1), sequences);
  const lengths = new Int32Array(buffer, byteOffset + 8 * (documents + 1 + sequences), sequences);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const units: number[] = [];
  const refused = (problem: string): MegatronDocuments => ({ units: new Float64Array(0), endByte: startByte, digest, problem });

  let at = startByte;
  let sequence = startSequence;
  let unit = { documents: 0, startByte };
  const close = (): void => {
    if (unit.documents > 0) units.push(unit.documents, at, sequence);
    unit = { documents: 0, startByte: at };
  };
  for (let document = 0; document < documents; document++) {
    const end = Number(starts[document + 1]);
    if (Number(starts[document]) !== sequence || end < sequence || end > endSequence)
      return refused(`document ${document} of a part does not follow the one before it`);
    let documentEnd = at;
    for (let own = sequence; own < end; own++) {
      const length = lengths[own - startSequence];
      if (Number(pointers[own - startSequence]) !== documentEnd) return refused(`sequence ${own} does not follow the one before it`);
      if (length < 0) return refused(`sequence ${own} has ${length} ids`);
      documentEnd += width * length;
    }
    if (documentEnd - at > width * documentIdsMax)
      return refused(`a document has ${(documentEnd - at) / width} ids, and at most ${documentIdsMax} are read`);
    if (documentEnd - unit.startByte > width * unitIds) close();
    unit.documents++;
    at = documentEnd;
    sequence = end;
  }
  close();
  return { units: Float64Array.from(units), endByte: at, digest, problem: undefined };
}
