/** Writes MDS shards of any columns, as docs/formats.md says they are: what properties are made of, beside the files that the format's own writer wrote. */

export interface TestColumn {
  readonly name: string;
  readonly encoding: string;
  /** Bytes of each value, or `null`. */
  readonly bytes: number | null;
}

/** `rows`: of each the stored values, in the order of the columns. */
export function mdsShard(columns: readonly TestColumn[], rows: readonly (readonly Uint8Array[])[], changes: object = {}): Buffer {
  const config = Buffer.from(
    JSON.stringify({
      column_encodings: columns.map(({ encoding }) => encoding),
      column_names: columns.map(({ name }) => name),
      column_sizes: columns.map(({ bytes }) => bytes),
      compression: null,
      format: 'mds',
      hashes: [],
      size_limit: 67108864,
      version: 2,
      ...changes,
    }),
  );
  const samples = rows.map((row) => {
    const sizes = row.filter((_value, i) => columns[i].bytes === null).map(({ length }) => length);
    return Buffer.concat([Buffer.from(Uint32Array.from(sizes).buffer), ...row]);
  });
  const places = new Uint32Array(rows.length + 2);
  places[0] = rows.length;
  places[1] = places.byteLength + config.length;
  for (const [row, { length }] of samples.entries()) places[row + 2] = places[row + 1] + length;
  return Buffer.concat([Buffer.from(places.buffer), config, ...samples]);
}
