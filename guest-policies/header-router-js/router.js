// A header field names the backend, and fields are set and removed on the way in and out.
import { add, define } from 'waypost:policy/counters@0.1.0';
import { failed } from 'waypost:policy/attempts@0.1.0';
import { healthy } from 'waypost:policy/backend-facts@0.1.0';
import { write } from 'waypost:policy/log@0.1.0';
import { below } from 'waypost:policy/random@0.1.0';
import { hash } from './hash.js';
import { byteString, parseSettings } from './settings.js';

/**
 * @typedef {{ targets: Map<string, number[]>, seeds: bigint[] }} Pool
 * @typedef {(backend: number) => boolean} Usable
 */

/** @type {import('./settings.js').Settings} */
let settings;
/** @type {{ routed: number, hashed: number, unmatched: number, unusable: number }} */
let counters;
/** By id: for each value with a route the backends that it names, and a number for each backend. @type {Map<number, Pool>} */
const pools = new Map();

/** @type {import('./waypost').Configuration} */
export const configuration = {
  configure(json) {
    settings = parseSettings(json);
    counters = {
      routed: define('routed'),
      hashed: define('hashed'),
      unmatched: define('unmatched'),
      unusable: define('unusable'),
    };
  },
};

/** @type {import('./waypost').Topology} */
export const topology = {
  backendsChanged(pool, _generation, backends) {
    /** @type {Map<string, number[]>} */
    const targets = new Map();
    for (const [value, target] of settings.routes) {
      // The first label of this name counts.
      /** @param {import('./waypost').Backend} backend */
      const isNamed = ({ address, labels }) => address === target || labels.find(([key]) => key === 'name')?.[1] === target;
      const named = backends.flatMap((backend, index) => (isNamed(backend) ? [index] : []));
      if (named.length === 0) {
        write('warn', `routes.${text(value)}: pool ${pool.name} has no backend with the address or the name ${target}`);
      }
      targets.set(value, named);
    }
    pools.set(pool.id, { targets, seeds: backends.map(({ address }) => hash(0n, address)) });
  },
};

/** @type {import('./waypost').Selection} */
export const selection = {
  select(request, pool, attempt) {
    const value = request.header(settings.header);
    const known = pools.get(pool);
    const [counter, choice] = value && known ? route(known, byteString(value), attempt) : [counters.unmatched];
    // 64-bit numbers are BigInts, 32-bit ones are numbers.
    add(counter, 1n);
    // `undefined` is the contract's `none`.
    return choice;
  },
};

/** @type {import('./waypost').RequestHeaders} */
export const requestHeaders = {
  editRequest(_request, headers) {
    edit(settings.request, headers);
  },
};

/** @type {import('./waypost').ResponseHeaders} */
export const responseHeaders = {
  editResponse(_request, _status, _backend, headers) {
    edit(settings.response, headers);
  },
};

/** The counter and the backend. @param {Pool} pool @param {string} value @param {number} attempt @returns {[number, number?]} */
function route(pool, value, attempt) {
  // The first attempt is nearly every request: it has nothing to ask about.
  const usable = attempt > 1 ? notYetFailed() : healthy;
  const named = pool.targets.get(value);
  if (!named && settings.fallback === 'none') return [counters.unmatched];
  const choice = named ? draw(named.filter((index) => usable(index))) : own(pool.seeds, value, usable);
  if (choice === undefined) return [counters.unusable];
  return [named ? counters.routed : counters.hashed, choice];
}

/** @returns {Usable} */
function notYetFailed() {
  const past = failed();
  return (index) => past.every(({ backend }) => backend !== index) && healthy(index);
}

/** @param {number[]} usable */
function draw(usable) {
  return usable.length > 1 ? usable[below(usable.length)] : usable[0];
}

/** Rendezvous hashing: when a backend goes, only its own values move. @param {bigint[]} seeds @param {string} value @param {Usable} usable */
function own(seeds, value, usable) {
  let best;
  let highest = -1n;
  seeds.forEach((seed, index) => {
    const score = hash(seed, value);
    // The host is asked last, and only about those that would win.
    if (score > highest && usable(index)) {
      highest = score;
      best = index;
    }
  });
  return best;
}

/** @param {import('./settings.js').Edits} edits @param {import('./waypost').Headers} headers */
function edit({ remove, set, append }, headers) {
  for (const name of remove) tell(name, () => headers.remove(name));
  for (const [name, value] of set) tell(name, () => headers.set(name, value));
  for (const [name, value] of append) tell(name, () => headers.append(name, value));
}

/** @param {string} name @param {() => void} change */
function tell(name, change) {
  try {
    change();
  } catch (error) {
    // An imported function that returns a result throws its error, as `payload`. The settings were checked, so this is about
    // the message: it names the field in `connection`, or there is too much.
    write('warn', `${name} was not written: ${/** @type {{ payload: string }} */ (error).payload}`);
  }
}

/** @param {string} bytes one character for each byte */
function text(bytes) {
  return new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
}
