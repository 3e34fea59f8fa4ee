import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  contentFault,
  EOS,
  LENGTH,
  orderFault,
  PAD,
  resumeFault,
  samplesFault,
  tallyFault,
  type Corpus,
  type Delivery,
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
