// Helpers for policies: cookies, networks of client addresses, hashing. Import what you need; the
// rest costs nothing in a call.

const encoder = new TextEncoder();
const bytesOf = (text) => encoder.encode(text);

// The value of the first cookie of this name in a `cookie` field (a Uint8Array, or undefined),
// without quotes: a Uint8Array, or undefined if there is none.
export function cookie(field, name) {
  const wanted = [...bytesOf(name), 0x3d];
  for (let start = 0; field !== undefined && start <= field.length;) {
    let end = field.indexOf(0x3b, start);
    if (end < 0) end = field.length;
    const pair = trimmed(field.subarray(start, end));
    if (wanted.every((byte, at) => pair[at] === byte)) {
      const value = pair.subarray(wanted.length);
      const quoted = value.length > 1 && value[0] === 0x22 && value[value.length - 1] === 0x22;
      return quoted ? value.subarray(1, -1) : value;
    }
    start = end + 1;
  }
  return undefined;
}

function trimmed(bytes) {
  const isSpace = (byte) => byte === 0x20 || byte === 0x09;
  let [from, to] = [0, bytes.length];
  while (from < to && isSpace(bytes[from])) from++;
  while (to > from && isSpace(bytes[to - 1])) to--;
  return bytes.subarray(from, to);
}

// What is known of networks, such as '192.0.2.0/24': one look for each length that occurs, however
// many have it.
export class Networks {
  #known = new Map();

  // `known` is an object or a list of pairs.
  constructor(known) {
    for (const [text, value] of Array.isArray(known) ? known : Object.entries(known)) {
      const { address, length } = network(text);
      if (!this.#known.has(length)) this.#known.set(length, new Map());
      this.#known.get(length).set(address >> BigInt(128 - length), value);
    }
    this.#known = new Map([...this.#known].sort(([one], [other]) => other - one));
  }

  // What is known of the longest network that holds this address, as `request.clientAddress()`
  // gives it.
  longest(address) {
    const number = addressOf(address);
    if (number === undefined) return undefined;
    for (const [length, known] of this.#known) {
      const key = number >> BigInt(128 - length);
      if (known.has(key)) return known.get(key);
    }
    return undefined;
  }
}

function network(text) {
  const refuse = (why) => {
    throw new Error(`"${text}" is no network such as 192.0.2.0/24 or 2001:db8::/32: ${why}`);
  };
  const [before, written, more] = text.split('/');
  const address = addressOf(before);
  if (address === undefined) refuse('it does not begin with an address');
  // Of an IPv4 address inside of IPv6 the first 96 bits are always the same.
  const [most, inside] = before.includes(':') ? [128, 0] : [32, 96];
  const length = written === undefined ? most : Number(/^\d{1,3}$/.test(written) ? written : NaN);
  if (more !== undefined || !(length <= most)) refuse('wrong length');
  if (BigInt.asUintN(128 - inside - length, address) !== 0n)
    refuse('the address has bits beyond the length');
  return { address, length: length + inside };
}

// An address as a number of 128 bits, IPv4 as IPv6, so that both are compared alike; undefined if
// it is none.
function addressOf(text) {
  const parts = text.split('.');
  if (parts.length === 4 && !text.includes(':')) {
    const isByte = (part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256;
    if (!parts.every(isByte)) return undefined;
    return (0xffffn << 32n) | parts.reduce((number, part) => (number << 8n) | BigInt(part), 0n);
  }
  // The last 32 bits of IPv6 may be written as IPv4.
  const last = text.lastIndexOf(':');
  if (last < 0) return undefined;
  if (parts.length > 1) {
    const end = addressOf(text.slice(last + 1));
    if (end === undefined) return undefined;
    const halves = [(end >> 16n) & 0xffffn, end & 0xffffn].map((half) => half.toString(16));
    text = text.slice(0, last + 1) + halves.join(':');
  }
  const sides = text.split('::').map((side) => (side === '' ? [] : side.split(':')));
  const given = sides.flat().length;
  if (sides.length > 2 || (sides.length === 2 ? given > 7 : given !== 8)) return undefined;
  const groups = [...sides[0], ...Array(8 - given).fill('0'), ...(sides[1] ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.reduce((number, group) => (number << 16n) | BigInt('0x' + group), 0n);
}

const u64 = (number) => BigInt.asUintN(64, number);

// A hash of these bytes (a Uint8Array, or text) as a BigInt, the same on all workers and in all
// languages: for sharding, not against an attacker.
export function hashOf(data, seed = 0n) {
  let value = 0xcbf29ce484222325n ^ mix(seed);
  for (const byte of typeof data === 'string' ? bytesOf(data) : data)
    value = u64((value ^ BigInt(byte)) * 0x100000001b3n);
  return mix(value);
}

// Where these bytes fall in a line of `parts`: 0 to `parts` - 1.
export function part(data, parts, seed = 0n) {
  return Number((hashOf(data, seed) * BigInt(parts)) >> 64n);
}

// Of the candidates (an index, `hashOf` its address, its weight) the one that this key belongs to;
// undefined if there are none. When one goes, only its own keys move; when one is new, only the
// keys that move to it. Keep the hashes of addresses from `backendsChanged`: they are most of the
// work.
export function rendezvous(key, candidates) {
  const hash = hashOf(key);
  let [best, chosen] = [-1, undefined];
  for (const [index, seed, weight] of candidates) {
    const uniform = (Number(mix(hash ^ seed) >> 11n) + 0.5) / 2 ** 53;
    const score = Math.max(weight, 1) / -Math.log(uniform);
    // The last of several with the same score.
    if (score >= best) [best, chosen] = [score, index];
  }
  return chosen;
}

// Every bit of the input changes about half of the bits of the result.
function mix(value) {
  value = u64((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n);
  value = u64((value ^ (value >> 27n)) * 0x94d049bb133111ebn);
  return value ^ (value >> 31n);
}
