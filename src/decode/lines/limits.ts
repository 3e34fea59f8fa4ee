/** Bounds of formats that have a row in a line, each with its reason. */

export const LINE_LIMITS = {
  /** Content that is scanned at a time, when a shard is indexed: bulk enough for a message to a worker. */
  scanBytes: 4 * 2 ** 20,
  /** Content of a unit: what is fetched for a block is a few MiB, and a terabyte has a quarter of a million units. */
  unitBytes: 4 * 2 ** 20,
  /** Between the places at which a unit can be entered: a slice reads this much too much at either end. */
  markBytes: 256 * 2 ** 10,
  /** The same in units that are read from their start anyway, which may be very long: three numbers a MiB. */
  wholeMarkBytes: 2 ** 20,
  /** Content that is decoded at a time: it stays in the processor's cache, and has a hundred rows. */
  windowBytes: 256 * 2 ** 10,
  /** Longer rows are read without the kernel, as slowly as rare ones: a worker keeps twice as much memory for good. */
  windowBytesMax: 16 * 2 ** 20,
  /** The names of columns: a thousand long ones. */
  headerBytesMax: 256 * 2 ** 10,
  /** Rows that `headrace inspect` looks at in a shard, and their content: what one row in a hundred has is nearly always among them, in a tenth of a second. */
  describedRowsMax: 1000,
  describedBytesMax: 4 * 2 ** 20,
} as const;
