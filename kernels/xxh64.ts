/**
 * AssemblyScript: XXH64 with seed 0 of a text that comes in parts, as the checksum of zstd frames needs it. `src/decode/compressed/xxh64.ts` calls it.
 * Source of the algorithm: "xxHash fast digest algorithm", XXH64 (Yann Collet).
 */

const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;
const PRIME_4: u64 = 0x85ebca77c2b2ae63;
const PRIME_5: u64 = 0x27d4eb2f165667c5;

let a: u64 = 0;
let b: u64 = 0;
let c: u64 = 0;
let d: u64 = 0;

/** Where the memory that the caller may use begins. */
export function heapStart(): usize {
  return __heap_base;
}

export function begin(): void {
  a = PRIME_1 + PRIME_2;
  b = PRIME_2;
  c = 0;
  d = 0 - PRIME_1;
}

// @ts-ignore: decorator
@inline
function round(lane: u64, input: u64): u64 {
  return rotl<u64>(lane + input * PRIME_2, 31) * PRIME_1;
}

/** Whole stripes of 32 bytes. */
export function stripes(from: usize, end: usize): void {
  for (; from < end; from += 32) {
    a = round(a, load<u64>(from));
    b = round(b, load<u64>(from, 8));
    c = round(c, load<u64>(from, 16));
    d = round(d, load<u64>(from, 24));
  }
}

// @ts-ignore: decorator
@inline
function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
}

/** The low 32 bits. `from` … `end`: what is left after the last stripe; `total`: bytes in all. */
export function finish(from: usize, end: usize, total: u64): u32 {
  let hash: u64 = PRIME_5;
  if (total >= 32) {
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  }
  hash += total;
  for (; from + 8 <= end; from += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(from)), 27) * PRIME_1 + PRIME_4;
  if (from + 4 <= end) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(from) * PRIME_1), 23) * PRIME_2 + PRIME_3;
    from += 4;
  }
  for (; from < end; from++) hash = rotl<u64>(hash ^ (<u64>load<u8>(from) * PRIME_5), 11) * PRIME_1;
  hash = (hash ^ (hash >> 33)) * PRIME_2;
  hash = (hash ^ (hash >> 29)) * PRIME_3;
  return <u32>(hash ^ (hash >> 32));
}
