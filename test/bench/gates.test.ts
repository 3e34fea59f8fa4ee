import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joined, LENGTH, ROWS, type Delivery, type RankDelivery } from '../../bench/end-to-end/delivery.js';
import {
  contentFault,
  EOS,
  orderFault,
  PAD,
  ranksFault,
  resumeFault,
  samplesFault,
  stepsFault,
  tallyFault,
  type Corpus,
} from '../../bench/end-to-end/gates.js';

const LANES = 3;

/** Documents of distinct content, whose lengths are given. */
function documentsOf(lengths: readonly number[]): number[][] {
  return lengths.map((length, i) => [
    ...Array.from({ length }, (_, j) => (i * 31 + j * 7) % 50_000),
    i % 50_000,
    Math.floor(i / 50_000),
    EOS,
  ]);
}

function corpusOf(documents: readonly number[][]): Corpus {
  return { ids: Uint16Array.from(documents.flat()) };
}

/** As a loader with so many streams delivers: documents dealt to streams, joined, cut in rows, the streams' last rows padded, rows in turns. */
function deliveryOf(documents: readonly number[][], streams = LANES): Delivery {
  const rows: { stream: number; ids: number[]; place: number }[] = [];
  for (let stream = 0; stream < streams; stream++) {
    const ids = documents.filter((_, i) => i % streams === stream).flat();
    for (let start = 0; start < ids.length; start += LENGTH) {
      const row = ids.slice(start, start + LENGTH);
      rows.push({ stream, ids: [...row, ...Array<number>(LENGTH - row.length).fill(PAD)], place: start });
    }
  }
  rows.sort((a, b) => a.place - b.place);
  return { ids: Int32Array.from(rows.flatMap(({ ids }) => ids)), streams: Int32Array.from(rows.map(({ stream }) => stream)) };
}

/** What loaders do wrong, on a copy of the documents. */
const MISTAKES: Readonly<Record<string, (documents: number[][], at: number) => number[][]>> = {
  'loses a document': (documents, at) => documents.filter((_, i) => i !== at),
  'delivers a document twice': (documents, at) => [...documents, documents[at]],
  'delivers one in the place of another': (documents, at) =>
    documents.map((document, i) => (i === at ? documents[(at + 1) % documents.length] : document)),
  'changes one token': (documents, at) =>
    documents.map((document, i) => (i === at ? [(document[0] + 1) % 50_000, ...document.slice(1)] : document)),
  'swaps two tokens': (documents, at) =>
    documents.map((document, i) => (i === at ? [document[1], document[0], ...document.slice(2)] : document)),
  'loses the end of a document': (documents, at) => documents.map((document, i) => (i === at ? [...document.slice(0, -2), EOS] : document)),
  'joins two documents without EOS': (documents, at) => documents.map((document, i) => (i === at ? document.slice(0, -1) : document)),
};

const lengths = fc.array(fc.integer({ min: 3, max: 5000 }), { minLength: 2, maxLength: 12 });

describe('the gate of content', () => {
  it('passes each document once, however they are dealt, cut and padded', () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 5 }), (sizes, streams) => {
        const documents = documentsOf(sizes);
        expect(contentFault(deliveryOf(documents, streams), corpusOf(documents), 'documents', 1)).toBeUndefined();
        const rotated = [...documents.slice(1), documents[0]];
        expect(contentFault(deliveryOf(rotated, streams), corpusOf(documents), 'documents', 1)).toBeUndefined();
      }),
      { numRuns: 12 },
    );
  });

  for (const [mistake, make] of Object.entries(MISTAKES)) {
    it(`refuses a loader that ${mistake}`, () => {
      fc.assert(
        fc.property(lengths, fc.nat(), fc.integer({ min: 1, max: 4 }), (sizes, drawn, streams) => {
          const documents = documentsOf(sizes);
          const wrong = make(documents, drawn % documents.length);
          expect(contentFault(deliveryOf(wrong, streams), corpusOf(documents), 'documents', 1)).toBeDefined();
        }),
        { numRuns: 12 },
      );
    });
  }

  it('refuses rows of a stream that come in another order', () => {
    const documents = documentsOf([5000, 4000, 3000]);
    const { ids, streams } = deliveryOf(documents, 1);
    const swapped = Int32Array.from([...ids.subarray(LENGTH, 2 * LENGTH), ...ids.subarray(0, LENGTH), ...ids.subarray(2 * LENGTH)]);
    expect(contentFault({ ids: swapped, streams }, corpusOf(documents), 'documents', 1)).toBeDefined();
  });

  it('says how many are missing, too many, and unknown', () => {
    const documents = documentsOf([10, 20, 30, 40]);
    const wrong = [documents[0], documents[0], documents[2], [1, 2, 3, EOS]];
    expect(contentFault(deliveryOf(wrong), corpusOf(documents), 'documents', 1)).toBe(
      '2 documents missing, 1 documents too many, 1 documents that are not in the corpus',
    );
  });

  it('counts epochs: twice is right of two, and wrong of one', () => {
    const documents = documentsOf([100, 3000, 50]);
    const twice = deliveryOf([...documents, ...documents]);
    expect(contentFault(twice, corpusOf(documents), 'documents', 2)).toBeUndefined();
    expect(contentFault(twice, corpusOf(documents), 'documents', 1)).toBe('3 documents too many');
    expect(contentFault(deliveryOf(documents), corpusOf(documents), 'documents', 2)).toBe('3 documents missing');
  });

  it('compares whole rows where documents were packed before they were stored', () => {
    const documents = documentsOf([3000, 2500, 4000]);
    const corpus = corpusOf(documents);
    const { ids } = deliveryOf(documents, 1);
    const rows = ids.length / LENGTH;
    const shuffled = Int32Array.from(
      Array.from({ length: rows }, (_, i) => [...ids.subarray((rows - 1 - i) * LENGTH, (rows - i) * LENGTH)]).flat(),
    );
    const streams = new Int32Array(rows);
    expect(contentFault({ ids: shuffled, streams }, corpus, 'rows', 1)).toBeUndefined();
    const dropped = shuffled.subarray(0, -LENGTH);
    expect(contentFault({ ids: dropped, streams: streams.subarray(1) }, corpus, 'rows', 1)).toBe('1 rows missing');
    const padded = Int32Array.from([...shuffled, ...new Int32Array(LENGTH).fill(PAD)]);
    expect(contentFault({ ids: padded, streams: new Int32Array(rows + 1) }, corpus, 'rows', 1)).toBeUndefined();
  });

  it('refuses ids that are no whole rows', () => {
    expect(contentFault({ ids: new Int32Array(5), streams: new Int32Array(1) }, corpusOf(documentsOf([5])), 'documents', 1)).toBeDefined();
  });
});

describe('the gates of runs', () => {
  it('holds a run to the number and the sum of its tokens', () => {
    const expected = { tokens: 10, tokenSum: 55 };
    expect(tallyFault({ tokens: 20, tokenSum: 110 }, expected, 2)).toBeUndefined();
    expect(tallyFault({ tokens: 19, tokenSum: 110 }, expected, 2)).toBe('19 tokens instead of 20');
    expect(tallyFault({ tokens: 20, tokenSum: 111 }, expected, 2)).toMatch(/another sum/);
  });

  it('takes no resume that is not exact', () => {
    expect(resumeFault({ equalBatches: 50, followingBatches: 50 })).toBeUndefined();
    expect(resumeFault({ equalBatches: 49, followingBatches: 50 })).toBe('49 of 50 batches after the resume are equal');
    expect(resumeFault({})).toBeDefined();
  });

  it('refuses several orders of one configuration', () => {
    expect(orderFault(['a', 'a', 'a'])).toBeUndefined();
    expect(orderFault([])).toBeUndefined();
    expect(orderFault(['a', 'b', 'a'])).toBe('claims one order, but 3 runs had 2');
  });
});

describe('the gate of samples', () => {
  const hashes = BigUint64Array.of(3n, 5n, 5n, 2n ** 63n + 9n);

  it('takes each sample once, in any order', () => {
    expect(samplesFault(BigUint64Array.from([...hashes].reverse()), hashes)).toBeUndefined();
  });

  it.each([
    [[3n, 5n, 5n], '1 samples missing'],
    [[3n, 5n, 2n ** 63n + 9n], '1 samples missing'],
    [[...hashes, 5n], '1 samples too many'],
    [[3n, 5n, 5n, 2n ** 63n + 10n], '1 samples missing, 1 samples that are not in the corpus'],
  ])('finds what is wrong with %s: %s', (delivered, fault) => {
    expect(samplesFault(BigUint64Array.from(delivered), hashes)).toBe(fault);
  });
});

/** Batches of ROWS rows, the last ones of padding alone: as ranks have them that step together. */
function rankOf({ ids, streams }: Delivery, batches = Math.ceil(streams.length / ROWS)): RankDelivery {
  const whole = new Int32Array(batches * ROWS * LENGTH).fill(PAD);
  whole.set(ids.subarray(0, whole.length));
  const links = new Int32Array(batches * ROWS);
  links.set(streams.subarray(0, links.length));
  return { ids: whole, links };
}

/** Documents dealt to ranks, packed by each for itself. */
function dealt(documents: readonly number[][], ranks: number, batches?: number): RankDelivery[] {
  return Array.from({ length: ranks }, (_, rank) =>
    rankOf(
      deliveryOf(
        documents.filter((_document, i) => i % ranks === rank),
        2,
      ),
      batches,
    ),
  );
}

/**
 * As headrace deals: `lanes` streams of rows, slot j of a step from lane j mod `lanes`, rank r has the slots j with j mod W = r. A lane that has ended is followed
 * by the next row of the first one that goes on. Rows are linked by places, not by numbers of streams.
 */
function inSlots(documents: readonly number[][], ranks: number, lanes: number): RankDelivery[] {
  interface Row {
    readonly ids: number[];
    readonly from: number[];
    readonly to: number[];
  }
  const none = [-1, -1, -1, -1];
  const rowsOf = (lane: number): Row[] => {
    const tokens = documents.flatMap((document, i) => (i % lanes === lane ? document.map((id, token) => ({ id, i, token })) : []));
    return Array.from({ length: Math.ceil(tokens.length / LENGTH) }, (_, row) => {
      const own = tokens.slice(row * LENGTH, (row + 1) * LENGTH);
      const [first, next] = [own[0], tokens.at((row + 1) * LENGTH)];
      return {
        ids: [...own.map(({ id }) => id), ...Array<number>(LENGTH - own.length).fill(PAD)],
        from: first.token === 0 ? none : [0, 0, first.i, first.token],
        to: next === undefined || next.token === 0 ? none : [0, 0, next.i, next.token],
      };
    });
  };
  const left = Array.from({ length: lanes }, (_, lane) => rowsOf(lane));
  const padding: Row = { ids: Array<number>(LENGTH).fill(PAD), from: none, to: none };
  const of = Array.from({ length: ranks }, (): Row[] => []);
  while (left.some((lane) => lane.length > 0)) {
    for (let slot = 0; slot < ROWS * ranks; slot++) {
      const lane = left[slot % lanes].length > 0 ? left[slot % lanes] : left.find((other) => other.length > 0);
      of[slot % ranks].push(lane?.shift() ?? padding);
    }
  }
  return of.map((rows) => ({
    ids: Int32Array.from(rows.flatMap(({ ids }) => ids)),
    links: Int32Array.from(rows.flatMap(({ from, to }) => [...from, ...to])),
  }));
}

describe('the gate of ranks', () => {
  const documents = documentsOf([5000, 300, 4000, 2500, 20, 9000, 700, 6000, 1200, 3100]);
  const corpus = corpusOf(documents);
  const equal = { equalSteps: true } as const;
  const unequal = { equalSteps: false } as const;

  it('passes each document once, whichever rank has it', () => {
    for (const ranks of [1, 2, 4]) expect(ranksFault(dealt(documents, ranks, 3), corpus, 'documents', equal)).toBeUndefined();
  });

  it('puts documents together whose rows are on several ranks, by their places', () => {
    fc.assert(
      fc.property(lengths, fc.constantFrom(2, 4), fc.constantFrom(1, 2, 8), (sizes, ranks, lanes) => {
        const own = documentsOf(sizes);
        const delivered = inSlots(own, ranks, lanes);
        expect(ranksFault(delivered, corpusOf(own), 'documents', equal)).toBeUndefined();
        expect(joined(delivered).streams).toHaveLength(delivered.length * (delivered[0].ids.length / LENGTH));
      }),
      { numRuns: 12 },
    );
  });

  it('refuses ranks whose rows are swapped', () => {
    const delivered = inSlots(documents, 2, 8);
    const swapped = delivered.map((rank, i) => ({ ...rank, ids: delivered[1 - i].ids }));
    expect(ranksFault(swapped, corpus, 'documents', equal)).toBeDefined();
  });

  it('refuses ranks that overlap in one document', () => {
    const overlapping = [0, 1].map((rank) =>
      rankOf(
        deliveryOf(
          documents.filter((_, i) => i % 2 === rank || i === 4),
          2,
        ),
        2,
      ),
    );
    expect(ranksFault(overlapping, corpus, 'documents', equal)).toBe('1 documents too many');
  });

  it('refuses ranks that all have the same: a loader that was not told of them', () => {
    const whole = rankOf(deliveryOf(documents));
    expect(ranksFault([whole, whole], corpus, 'documents', unequal)).toBe('10 documents too many');
  });

  it('refuses ranks of which nobody has a document', () => {
    const lost = dealt(documents, 2, 2).map((rank, i) =>
      i === 0
        ? rank
        : rankOf(
            deliveryOf(
              documents.filter((_, j) => j % 2 === 1 && j !== 3),
              2,
            ),
            2,
          ),
    );
    expect(ranksFault(lost, corpus, 'documents', equal)).toBe('1 documents missing');
  });

  it('refuses a rank whose last batch is cut off for the others’ sake', () => {
    const cut = dealt(documents, 2).map(({ ids, links }) => ({ ids: ids.subarray(0, ROWS * LENGTH), links: links.subarray(0, ROWS) }));
    expect(dealt(documents, 2)[1].ids.length).toBeGreaterThan(ROWS * LENGTH);
    expect(ranksFault(cut, corpus, 'documents', equal)).toMatch(/documents missing/);
  });

  it('refuses unequal numbers of batches of a loader that promises equal ones, and of no other', () => {
    const skewed = [rankOf(deliveryOf(documents.slice(1))), rankOf(deliveryOf(documents.slice(0, 1)))];
    expect(ranksFault(skewed, corpus, 'documents', equal)).toBe('ranks have 2, 1 batches');
    expect(ranksFault(skewed, corpus, 'documents', unequal)).toBeUndefined();
    expect(stepsFault([3, 3, 3])).toBeUndefined();
    expect(stepsFault([3, 3, 2, 3])).toBe('ranks have 3, 3, 2, 3 batches');
  });

  it('takes fewer repeated documents than ranks where a loader says that it evens them out so, and loses none for that', () => {
    const evens = { equalSteps: false, repeats: true } as const;
    const deal = (repeated: number): RankDelivery[] => dealt([...documents, ...documents.slice(0, repeated)], 4);
    expect(ranksFault(deal(2), corpus, 'documents', evens)).toBeUndefined();
    expect(ranksFault(deal(3), corpus, 'documents', evens)).toBeUndefined();
    expect(ranksFault(deal(4), corpus, 'documents', evens)).toBe('4 documents too many');
    expect(ranksFault(deal(2), corpus, 'documents', unequal)).toBe('2 documents too many');
    expect(ranksFault(dealt([...documents.slice(1), documents[1]], 4), corpus, 'documents', evens)).toBe('1 documents missing');
  });

  it('compares the rows of all ranks where documents were packed before they were stored', () => {
    const rows = deliveryOf(documents, 1);
    const of = (wanted: (row: number) => boolean): RankDelivery => {
      const own = Array.from({ length: rows.streams.length }, (_, row) => row).filter(wanted);
      return rankOf({
        ids: Int32Array.from(own.flatMap((row) => [...rows.ids.subarray(row * LENGTH, (row + 1) * LENGTH)])),
        streams: new Int32Array(own.length),
      });
    };
    expect(ranksFault([of((row) => row % 2 === 0), of((row) => row % 2 === 1)], corpus, 'rows', unequal)).toBeUndefined();
    expect(ranksFault([of((row) => row % 2 === 0), of((row) => row % 2 === 1 || row === 4)], corpus, 'rows', unequal)).toBe(
      '1 rows too many',
    );
  });
});
