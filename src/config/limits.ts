/** Every bound of the pipeline in one place, each with its reason. What a user may change is in the schema; its default is here. */

export const LIMITS = {
  /** A global batch of more sequences than this is a typing error; it bounds the arrays of one step. */
  batchSizeMax: 65_536,
  /** A run of more steps than this is a typing error: a millisecond each, they take 31 years. */
  stepMax: 1e12,
  /** Lanes: each holds windows in memory, and more lanes than machines in a cluster buys nothing. */
  lanesMax: 1024,
  /** The design's default: eight streams shuffle eight groups against each other and let eight machines share the work. */
  lanesDefault: 8,
  /** A sequence of 4 Mi tokens is 16 MiB of ids: the longest contexts trained today, with room. */
  sequenceLengthMax: 4 * 2 ** 20,
  /** A window under 64 KiB shuffles a handful of documents and spends its time on overhead. */
  windowBytesMin: 64 * 2 ** 10,
  /** A window is decoded at once in a worker: 1 GiB of text is the most that fits beside everything else in 24 GiB. */
  windowBytesMax: 2 ** 30,
  windowBytesDefault: 16 * 2 ** 20,
  /** A packing group: as many tokens as the largest window of text has (1 GiB), at four bytes each. */
  packingTokensMax: 2 ** 28,
  /** A group wastes half a sequence at its end, on average: 0.2 % of 256; they are 1 to 2 MiB of text at 2,048 tokens. */
  packingSequencesDefault: 256,
  shuffleBlocksMax: 1024,
  shuffleBlocksDefault: 8,
  /** A block decodes to at most this many windows: the row group of a Spark file (128 MB) becomes two or more blocks. */
  windowsPerBlockMax: 4,
  /** With fewer blocks a lane than this, a group could not mix anything: blocks are cut further. */
  blocksPerLaneMin: 4,
  /** Small groups make the first batch fast and shuffle badly: no more of an epoch than what a trainer hardly notices. */
  rampShareMax: 1 / 8,
  /** … of shards that are opened as they are read, each of which the first batch waits for: of 16 shards a lane's first group has one, and the others are shuffled still. */
  scannedRampShareMax: 1 / 2,

  /** Footers are a few KiB; 32 at a time hide 20 ms of latency for 1,000 shards in under a second. */
  footerConcurrencyMax: 32,
  /** The file of an index: what one buffer of Node holds, and more than 8 million shards of eight row groups. */
  indexBytesMax: 2 ** 32 - 1,
  /** It is read in ranges of this length, each of which some stores hold twice: few requests, and next to the whole it is little. */
  indexReadBytes: 64 * 2 ** 20,
  /** Units of the shards whose objects are kept for the next question (some hundred bytes each, if asked for): those of all open blocks, and 25 MiB at most. */
  openUnitsMax: 64 * 1024,
  /** One request for the end of a file gets the footer of nearly every Parquet file (2 kB a row group with few columns). */
  footerGuessBytes: 64 * 2 ** 10,
  /** What is learnt of a source's footers changes the request: not below what takes an object store no longer than a byte … */
  footerGuessBytesMin: 16 * 2 ** 10,
  /** … and not above what takes it as long as the second request that it saves (20 ms at 200 MB/s). */
  footerGuessBytesMax: 4 * 2 ** 20,
  /** Footers that the guess is made from: twice as many as are read at a time. */
  footersRemembered: 64,
  /** A footer of 256 MiB would describe a million column chunks: more is damage. */
  footerBytesMax: 256 * 2 ** 20,
  /** Names of columns that a misspelt one is compared with: no table that people write has more. */
  namesSuggestedMax: 10_000,
  /** Shards that `headrace inspect` looks into without being told to: enough to meet what is common, in a second on any store. */
  inspectedShardsDefault: 16,
  /** Columns that it shows the first rows of: as many as a screen has room for. */
  inspectedColumnsMax: 8,
  /** Columns of which it finds out whether they can be served as fields: each asks for the index of a shard, of metadata that is at hand. */
  inspectedFieldsMax: 64,
  /** Members of a tar that are shown: of names without an extension of their own, each sample has others. */
  inspectedMembersMax: 200,
  /** Fields of JSON that it names; more are the keys of a dictionary. */
  inspectedPathsMax: 200,
  /** Objects in objects that their paths go into: data that nests deeper is a tree, and no table. */
  inspectedDepthMax: 8,
  /** Members of JSON and headers of arrays in a tar that it looks into, in all: what most samples have is in the first hundreds. */
  inspectedBodiesBytesMax: 2 ** 20,
  /** … and of one: larger ones are data by themselves. */
  inspectedBodyBytesMax: 64 * 2 ** 10,
  /** Shards smaller than this, on average, take longer to open than to read (a request takes 20 ms, in which 4 MB come) … */
  smallShardBytes: 8 * 2 ** 20,
  /** … which is worth a warning where there are many. */
  smallShardsMin: 1000,
  /** Decoded: a larger row group is more than a worker should hold, and one seek a slice where pages are not indexed. */
  largeUnitBytes: 512 * 2 ** 20,
  /** Decoded: smaller row groups are requests of some KiB, and a footer that grows with them. */
  smallUnitBytes: 2 ** 20,
  /** Requests of a block's reader are at least this large (where the column chunk has as much left): smaller ones cost more CPU than bytes. */
  readAheadBytes: 2 ** 20,
  /** … and leave no less than this to another one, which costs more than to hold so much: row groups of some thousand documents have 1 to 4 MB. */
  restBytesMin: 2 * 2 ** 20,
  /** A column chunk that is read whole by every block of its row group: each holds as much, of the few that a small data set is cut into. */
  wholeChunkBytes: 4 * 2 ** 20,
  /** Requests while only page headers are wanted: as large as an object store likes (8–16 MiB). */
  surveyBytes: 8 * 2 ** 20,
  /** The longest chat templates that models ship have 20,000 characters. */
  templateLengthMax: 2 ** 20,
  /** Column chunks of one row: each is read and decoded by itself. A chat message with tool calls has about ten. */
  recordLeavesMax: 256,
  /** Fields within fields: deeper than any schema that people write, and no deeper than a stack. */
  recordDepthMax: 32,
  /** One page, compressed or not: writers make 1 MiB; 1 GiB is more than a worker can hold twice. */
  pageBytesMax: 2 ** 30,
  /** A page that is larger is decompressed into memory that is given back, and slower: WebAssembly keeps what it ever had. */
  keptPageBytesMax: 64 * 2 ** 20,
  /** Pages whose places are remembered over all row groups (40 bytes each): 256 Ki pages are 256 GiB of data at 1 MiB a page, 10 MiB of memory. */
  surveyedPagesMax: 256 * 1024,

  /** A unit of a tar: whole samples whose wanted members have this many bytes, as a unit of any format should … */
  tarUnitBytes: 4 * 2 ** 20,
  /** … or which take this many bytes to read, with all that lies between: what one stream of an object store reaches its full rate with … */
  tarUnitReadBytes: 16 * 2 ** 20,
  /** … or this many stretches: each may be a request. */
  tarUnitStretchesMax: 64,
  /** A stretch of samples: what is read for nothing at the ends of a slice is half of this on average. */
  tarStretchBytes: 256 * 2 ** 10,
  /** The same in a compressed unit that is longer than it should be, since none can begin in it: a gigabyte has a thousand. */
  tarLongStretchBytes: 2 ** 20,
  /** A body that nobody wants is read past, not through, if it is longer: a request (20 ms) costs an object store's stream (100 MB/s) as much as 2 MB. */
  tarJumpBytes: 2 ** 20,
  /** Of a tar's headers, at a time: 32 shards are indexed at once, and each read may be held twice, by a cache and by who scans it. */
  tarScanBytes: 2 * 2 ** 20,
  /** … where bodies are jumped over: a sample's headers are a few KiB. */
  tarScanBytesMin: 64 * 2 ** 10,
  /** Headers before a member that say more of it (a long name, attributes): writers need some hundred bytes; Linux has no path above 4 KiB. */
  tarHeaderBytesMax: 2 ** 20,
  /** A member that is decoded; no document may be longer. A longer one is a bad row, and is not read. */
  tarMemberBytesMax: 64 * 2 ** 20,
  /** A number that is written as text: a double has 17 digits that count, and 308 before its point at most. */
  numberBytesMax: 400,
  /** An index beside a tar: eight bytes a sample, so 32 million samples. */
  tarIndexBytesMax: 256 * 2 ** 20,
  /** A file that lists shards: a million of them, at 64 bytes each. */
  shardListBytesMax: 64 * 2 ** 20,
  /** Names that a pattern of braces may stand for: as many shards as a source may well have. */
  braceNamesMax: 1_000_000,
  /** Ids in a unit of a file of token ids: 4 MiB as int32, what shuffles well, and what a request is worth. */
  arrayUnitIds: 2 ** 20,
  /** Ids in one row or document of such a file, 256 MiB: a document without an end is a wrong `array.eosId`. */
  arrayRowIdsMax: 2 ** 26,
  /** Such a file is passed over in parts of this length: as large as an object store likes. */
  arrayScanBytes: 8 * 2 ** 20,
  /** Documents of a Megatron index that are looked at together: 8 MiB of each of its arrays. No unit spans two such parts. */
  megatronPartDocuments: 2 ** 20,
  /** Sequences of one document, on average over a part: a million documents of more images each are no text. */
  megatronPartSequencesMax: 2 ** 24,

  /** A unit of counted items (MDS, litData), as a unit of any format should be … */
  itemUnitBytes: 4 * 2 ** 20,
  /** … or of so many items: small ones are counted in a table, four bytes each, which is read for a block. */
  itemUnitItems: 2 ** 18,
  /** One item: images and videos of one sample are that long, and a worker holds several at a time. */
  itemBytesMax: 256 * 2 ** 20,
  /** Entries of such a table that are looked at together: 4 MiB. No unit spans two such parts. */
  itemPartItems: 2 ** 20,

  /** The first bytes of an Arrow object, and of what follows a body that was leapt over: most metadata of one message, in one request. */
  arrowHeadBytes: 16 * 2 ** 10,
  /** An Arrow stream whose bodies are small is read through, in requests of this length. */
  arrowPassBytes: 4 * 2 ** 20,
  /** The metadata of one Arrow message: 64 MiB describe a million buffers. */
  arrowMetadataBytesMax: 64 * 2 ** 20,
  /** Whose metadata is in memory at a time: a few hundred bytes each, more where there are many columns. */
  arrowMessagesAtOnce: 1024,
  /** Dictionaries that are kept for the next block of their shard: they are sent to a worker with every slice, so that large ones are no use anyway. */
  arrowDictionaryBytes: 64 * 2 ** 20,
  /** Buffers of a column that are no further apart than this are read together: less than what a request costs. */
  arrowGapBytesMax: 64 * 2 ** 10,
  /** Fields of an Arrow schema, and how deep they are nested: more is damage, that would have one read in circles. */
  arrowFieldsMax: 65_536,
  arrowDepthMax: 64,
  /** Rows of a record batch, or of a dictionary: what offsets of 32 bits can count. */
  arrowBatchRowsMax: 2 ** 31 - 1,
  /** Record batches of one object: of a few rows each they would be no units to shuffle by, and their layouts fill the memory. */
  arrowBatchesMax: 2 ** 20,
  /** Conditions and values of one `where`: it is part of the plan, which travels with every cursor. A longer list of ids is one for `exclude`. */
  whereTermsMax: 1000,
  /** Levels of `any`, `all` and `not`: deeper than anyone can read. */
  whereDepthMax: 16,
  /** One bloom filter: as large as common writers make them at most (128 MiB) … where row groups are as large; more than this costs more than it saves. */
  bloomBytesMax: 16 * 2 ** 20,
  /** Row groups of one file whose bloom filters are read at a time. */
  bloomConcurrencyMax: 4,

  /** Documents that one source leaves out by name: 8 bytes each in memory, so 80 MB. */
  exclusionEntriesMax: 10_000_000,
  /** Of a list, at a time: as large as an object store likes. */
  exclusionReadBytes: 8 * 2 ** 20,
  /** One line of a list: an id is a name or a URL, and whatever else stands beside it is not a document. */
  exclusionLineBytesMax: 2 ** 20,

  /**
   * A document of text: ten thousand times a web page. In the worst case (no space in it) 64 MiB take 3.5 GiB while they are merged, and 32 bits
   * address 4 GiB.
   */
  documentBytesMax: 64 * 2 ** 20,
  /** Text that is tokenized ahead of the packer: large enough to amortise a call … */
  tokenizeAheadBytes: 64 * 2 ** 10,
  /** … and the first of a window, from which it doubles: two sequences of 2,048 tokens, for whose batch somebody may wait. */
  tokenizeFirstBytes: 16 * 2 ** 10,
  /** The module of a transform: what a bundler makes of a large library has a few MiB, and every worker parses it. */
  transformBytesMax: 16 * 2 ** 20,
  /** For one row, and for loading the module: a row of 64 MiB passes a hundred regular expressions in that time. What takes longer does not end. */
  transformMsMax: 10_000,
  /** Rows that one may become: a book of 64 MiB in parts of 1 KiB. */
  transformRowsMax: 64 * 2 ** 10,
  /** Bytes of fields that an answer has anew, of all of its rows: as much as a sample may have. What it leaves as it is counts for nothing. */
  transformFieldBytesMax: 256 * 2 ** 20,
  /** Text that is made ahead of the packer by one call under a time limit, which costs as much as tokenizing some KiB. */
  transformAheadBytes: 256 * 2 ** 10,
  /**
   * Tokens of one slice that are kept (`cache.tokens`): those of the default window's slices, 2 MiB of text each, take 1 to 2 MiB, and a checksum
   * is worth most up to 256 MiB. Of a larger one nothing is kept.
   */
  tokenEntryBytesMax: 256 * 2 ** 20,
  /** Tokens that a worker packs before it answers: 512 KiB of ids a message. At half of it, messages cost the main thread 5 % more, and the worker 3 %. */
  chunkTokens: 128 * 2 ** 10,
  /**
   * Tokens that wait in the main thread for their step, over all lanes and sources: 0.15 s of the fastest streams, since a worker that decompresses a row
   * group for one lane makes nothing for the others for some tens of milliseconds, and 16 MiB. At 512 Ki in all, worker and trainer waited for each other
   * by turns, for a tenth of the rate (text) to a third (token columns).
   */
  readyTokens: 4 * 2 ** 20,
  /** Of them a lane of a source has an equal share, below which it asks for its next chunk: half a chunk at least, which is served while that is made … */
  laneReadyTokensMin: 64 * 2 ** 10,
  /** … and no more than 2 MiB: one lane needs no more than one of eight. */
  laneReadyTokensMax: 512 * 2 ** 10,
  /** Bytes of fields that a worker puts together before it answers: samples of a MB travel by the handful, and one that is larger travels alone. */
  chunkFieldBytes: 4 * 2 ** 20,
  /** … and samples: a chunk of small ones is 100 KiB of segments and digests, and the objects of this many take 1 ms to make. */
  chunkSamples: 1024,
  /** Ready samples a lane keeps ahead of the assembler, beyond one step's share: as with tokens, two chunks … */
  laneReadySamples: 2048,
  /** … and their bytes, where a sample is large: 16 MiB a lane are 128 MiB at the default's eight, a step of 64 samples of 2 MB. */
  laneReadyFieldBytes: 16 * 2 ** 20,
  /** Fields of a source: each is a column chunk of its own to read, and a frame of a batch or two. */
  fieldsMax: 64,
  /** Numbers of a list in one sample: the embeddings of a long document, 64 MiB as float32. */
  fieldSizeMax: 16 * 2 ** 20,
  /**
   * Windows that may pass one which is fetched ahead, for each that its lane has before it: lanes × sources of most configurations, so that all lanes
   * that wait are served first, and the passed one by the time that its own lane wants it.
   */
  windowsPassedMax: 64,
  /**
   * Decoded bytes that warming a number of steps takes for one token: text has 3 to 5 (vocabularies of 50,000 to 200,000), an id of 64 bits has 8. More
   * than there are, so that a stream of these steps finds all it needs.
   */
  tokenBytesAssumed: 8,
  /**
   * Tokens that `headrace show` makes from step 0 on without being told to: about half a minute. A later step is better asked for with a cursor, from
   * which it takes seconds.
   */
  showTokensMax: 64 * 2 ** 20,
  /** What one worker makes of text, tokenized and packed, at the least: to say about how long it will take. */
  workerTokensPerSecondAssumed: 2e6,
  /** The JSON of a state: 1,024 lanes × 256 sources of 100 bytes each are 25 MiB. */
  stateBytesMax: 64 * 2 ** 20,
  /**
   * Rows that a lane finds empty, one after the other, before its source counts as empty: were nine of ten rows empty by chance, 300 of them in a row
   * would not happen (10⁻¹⁴), and of one row a window they are read in a second or two.
   */
  emptyRowsMin: 300,
  /** Times that one window may lose its worker before the window is blamed. */
  workerStrikesMax: 3,
  workersMax: 256,
  /** A thread that loads a large tokenizer on a busy machine needs a second or two to start; only who waits for code that may never end asks. */
  workerStartMsMax: 20_000,
  /** Lines in the log about rows that are left out, of each kind: enough to see what they have in common. All are counted, and told to `onSkip`. */
  skipLinesMax: 100,

  /** Steps that stay in memory after all ranks have them, so that a rank that is a little behind, or connects again, needs no second computation: above the credits of any client. */
  stepsRetainedMax: 80,
  /** … and their bytes. */
  retainedBytesMax: 128 * 2 ** 20,

  /** Memory of a stream's sent batches that waits for later ones: what sixteen batches of images in flight come back as. */
  batchMemoryBytesMax: 64 * 2 ** 20,
  /** … in so many pieces: of as many batches as a client may have asked for, with some fields each. */
  batchMemoryBuffersMax: 256,

  /** Byte ranges kept on disk: the text column of 100 GB of Parquet, and a small part of a node's NVMe. */
  cacheBytesDefault: '50GiB',

  /** Batches that one client may have asked for. */
  creditsMax: 64,
  /** While it is not known that more would help: two in flight hide the round trip, two more a slow step. */
  creditsAtFirst: 4,
  /** What a client asks for by itself may come to, for all ranks: a dozen batches of images, and a quarter of `retainedBytesMax`, for slower ranks. */
  widenedBytesMax: 32 * 2 ** 20,
  /** Sessions of one sidecar: ranks of one machine times model-parallel consumers, with room. */
  sessionsMax: 1024,
  /** Frame 0 of a message. */
  headerBytesMax: 2 ** 20,
  /** How often a silent client asks for a sign of life. */
  heartbeatMs: 1_000,
  /** Heartbeats without a message, in either direction, after which the other side counts as gone: one may be late, and one lost. */
  silencesMax: 3,
  /** How long a client waits for a batch, or for a sidecar that went away: longer than a sidecar's slowest start. */
  clientTimeoutMsDefault: 300_000,
} as const;
