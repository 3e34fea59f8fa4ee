/** Reads a list of documents from a Parquet file, a row group at a time. */
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type FileMetaData } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { throwIfAborted } from '../core/abort.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { listError, listRowError } from './list-error.js';
import { checkColumns, deliver, type Fail, type RawEntry, type ReadList } from './read-list.js';

export const readParquetList: ReadList = async ({ store, path, uri }, sink, signal) => {
  const options = signal && { signal };
  const { size, etag } = await store.head(path, options);
  const file: AsyncBuffer = {
    byteLength: size,
    slice: async (startByte, endByte = size) => {
      const bytes = await store.read(
        path,
        { startByte: startByte < 0 ? size + startByte : startByte, endByte },
        { ...options, ifMatch: etag },
      );
      return bytes.slice().buffer;
    },
  };
  let metadata: FileMetaData;
  try {
    metadata = await parquetMetadataAsync(file);
  } catch (error) {
    throw error instanceof HeadraceError
      ? error
      : listError(uri, undefined, `it is not a readable Parquet file (${messageOf(error)})`, error);
  }
  const names = metadata.schema.slice(1).map(({ name }) => name);
  checkColumns(names, (problem) => listError(uri, undefined, problem));
  const columns = names.includes('id') ? ['id'] : ['shard', 'row'];
  let rowStart = 0;
  for (const { num_rows: rows } of metadata.row_groups) {
    throwIfAborted(signal);
    const rowEnd = rowStart + Number(rows);
    const entries = await readRows({ file, metadata, columns, rowStart, rowEnd, uri });
    for (const [i, entry] of entries.entries()) {
      const row = rowStart + i;
      const fail: Fail = (problem) => listRowError(uri, row, problem);
      deliver(entry, sink, fail);
    }
    rowStart = rowEnd;
  }
};

interface RowsRequest {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: string[];
  readonly rowStart: number;
  readonly rowEnd: number;
  readonly uri: string;
}

async function readRows({ uri, ...request }: RowsRequest): Promise<RawEntry[]> {
  try {
    return await parquetReadObjects({ ...request, compressors });
  } catch (error) {
    throw error instanceof HeadraceError ? error : listError(uri, undefined, `its rows cannot be read (${messageOf(error)})`, error);
  }
}
