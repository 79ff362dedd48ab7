// FNV-1a in 64 bits, then mixed so that every bit counts in a comparison: the same numbers as header-router in other languages.

/**
 * @param {bigint} seed
 * @param {string} bytes one character for each byte
 */
export function hash(seed, bytes) {
  const start = 0xcbf29ce484222325n ^ seed;
  // In halves, because a BigInt costs an allocation for each step. The factor is 2 ** 40 + 0x1b3.
  let high = Number(start >> 32n);
  let low = Number(start & 0xffffffffn);
  for (let at = 0; at < bytes.length; at++) {
    low = (low ^ bytes.charCodeAt(at)) >>> 0;
    const product = low * 0x1b3;
    high = (high * 0x1b3 + Math.floor(product / 0x100000000) + (low << 8 >>> 0)) % 0x100000000;
    low = product % 0x100000000;
  }
  let mixed = (BigInt(high) << 32n) | BigInt(low);
  mixed ^= mixed >> 33n;
  mixed = BigInt.asUintN(64, mixed * 0xff51afd7ed558ccdn);
  return mixed ^ (mixed >> 33n);
}
