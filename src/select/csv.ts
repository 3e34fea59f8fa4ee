/** A strict reader of separated values (RFC 4180) that is given its text in parts, so that a list of any length is read in little memory. */

/** Told of each record, with the line on which it begins, counted from 1. The array is the caller's own. */
export type OnRecord = (fields: string[], line: number) => void;

/** What is wrong, and on which line. */
export class CsvError extends Error {
  override readonly name = 'CsvError';
  readonly line: number;

  constructor(problem: string, line: number) {
    super(problem);
    this.line = line;
  }
}

export interface CsvReader {
  /** The next part of the text; it may end anywhere. Throws `CsvError`. */
  push(text: string): void;
  /** After the last part. Throws `CsvError`. */
  end(): void;
}

const QUOTE = 0x22;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Records end with LF or CRLF, the last one may lack it; lines without a character are skipped. A field that holds a separator, a quote or a line end
 * is quoted, and a quote in it is doubled.
 *
 *   start ──"──▶ quoted ──"──▶ closed ──"──▶ quoted            other characters: start ──▶ plain
 */
export function createCsvReader(separator: ',' | '\t', onRecord: OnRecord): CsvReader {
  const separatorCode = separator.charCodeAt(0);
  let state: 'start' | 'plain' | 'quoted' | 'closed' = 'start';
  /** A CR outside of quotes waits for its LF. */
  let returned = false;
  let fields: string[] = [];
  let field = '';
  let line = 1;
  let recordLine = 1;

  const endField = (): void => {
    fields.push(field);
    field = '';
    state = 'start';
  };
  const endRecord = (): void => {
    const blank = fields.length === 0 && field === '' && state === 'start';
    endField();
    if (!blank) onRecord(fields, recordLine);
    fields = [];
  };
  const accept = (code: number, character: string): void => {
    if (state === 'quoted') {
      if (code === QUOTE) state = 'closed';
      else field += character;
    } else if (code === separatorCode) endField();
    else if (code === LINE_FEED) endRecord();
    else if (code === CARRIAGE_RETURN) returned = true;
    else if (code === QUOTE && state !== 'plain') {
      if (state === 'closed') field += character;
      state = 'quoted';
    } else if (code === QUOTE) throw new CsvError('a quote in a field that does not begin with one', line);
    else if (state === 'closed') throw new CsvError('text after the quote that ends a field', line);
    else {
      state = 'plain';
      field += character;
    }
  };
  return {
    push: (text) => {
      for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (returned && code !== LINE_FEED) throw new CsvError('a carriage return without a line feed', line);
        returned = false;
        accept(code, text[i]);
        if (code !== LINE_FEED) continue;
        line++;
        if (state !== 'quoted') recordLine = line;
      }
    },
    end: () => {
      if (state === 'quoted') throw new CsvError('a quote that does not end', recordLine);
      if (returned) throw new CsvError('a carriage return without a line feed', line);
      endRecord();
    },
  };
}
