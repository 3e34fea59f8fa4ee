/** What the storage benchmark is made of: sections of cases, whose contestants take turns. */
import type { Minio } from '../../test/support/minio.js';

export interface Context {
  readonly minio: Minio;
  /** For whatever a section writes; removed at the end. */
  readonly dir: string;
  readonly quick: boolean;
  /** Of the link to a store far away, all streams together. A machine that others keep busy carries less than the default. */
  readonly linkBytesPerSecond: number;
}

export interface Sample {
  readonly value: number;
  /** What else there is to say of it. */
  readonly note?: string;
}

export interface Contestant {
  readonly name: string;
  measure(): Promise<Sample>;
}

/** Where there is a ratio, it is the first contestant's value to the second's. */
export interface Case {
  readonly label: string;
  readonly unit: string;
  readonly hasRatio: boolean;
  readonly contestants: readonly Contestant[];
}

export interface OpenSection {
  readonly cases: readonly Case[];
  close(): Promise<void>;
}

export interface Section {
  /** As `--only` has it. */
  readonly name: string;
  readonly title: string;
  open(context: Context): Promise<OpenSection>;
}

export const MEBIBYTE = 2 ** 20;
