// A header field names the backend, and fields are set and removed on the way in and out.
//
// What every request runs is written for an interpreter: loops by index, no closures, and no spreading or taking apart of lists,
// each of which makes an iterator and costs as much as a call of the host.
import { add, define } from 'waypost:policy/counters@0.1.0';
import { failed } from 'waypost:policy/attempts@0.1.0';
import { healthy } from 'waypost:policy/backend-facts@0.1.0';
import { write } from 'waypost:policy/log@0.1.0';
import { below } from 'waypost:policy/random@0.1.0';
import { hash } from './hash.js';
import { byteString, parseSettings } from './settings.js';

/**
 * @typedef {{ targets: Map<string, number[]>, seeds: bigint[] }} Pool
 * @typedef {import('waypost:policy/attempts@0.1.0').FailedAttempt[] | undefined} Past
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
    if (!value || !known) return undone(counters.unmatched);
    const key = byteString(value);
    const named = known.targets.get(key);
    if (!named && settings.fallback === 'none') return undone(counters.unmatched);
    // The first attempt is nearly every request: it has nothing to ask about.
    const past = attempt > 1 ? failed() : undefined;
    const choice = named ? draw(named, past) : own(known.seeds, key, past);
    if (choice === undefined) return undone(counters.unusable);
    // 64-bit numbers are BigInts, 32-bit ones are numbers.
    add(named ? counters.routed : counters.hashed, 1n);
    return choice;
  },
};

/** @type {import('./waypost').RequestHeaders} */
export const requestHeaders = {
  editRequest(_request, headers) {
    apply(settings.request, headers);
  },
};

/** @type {import('./waypost').ResponseHeaders} */
export const responseHeaders = {
  editResponse(_request, _status, _backend, headers) {
    apply(settings.response, headers);
  },
};

/** Leaves the choice to the next policy: `undefined` is the contract's `none`. @param {number} counter */
function undone(counter) {
  add(counter, 1n);
  return undefined;
}

/** @param {number} index @param {Past} past */
function isUsable(index, past) {
  return !past?.some(({ backend }) => backend === index) && healthy(index);
}

/** One of these at random. @param {number[]} named @param {Past} past @returns {number | undefined} */
function draw(named, past) {
  const usable = [];
  for (let at = 0; at < named.length; at++) {
    if (isUsable(named[at], past)) usable.push(named[at]);
  }
  return usable.length > 1 ? usable[below(usable.length)] : usable[0];
}

/** Rendezvous hashing: when a backend goes, only its own values move. @param {bigint[]} seeds @param {string} key @param {Past} past */
function own(seeds, key, past) {
  let best;
  let highest = -1n;
  for (let index = 0; index < seeds.length; index++) {
    const score = hash(seeds[index], key);
    // The host is asked last, and only about those that would win.
    if (score > highest && isUsable(index, past)) {
      highest = score;
      best = index;
    }
  }
  return best;
}

/** @param {import('./settings.js').Edit[]} edits @param {import('./waypost').Headers} headers */
function apply(edits, headers) {
  for (let at = 0; at < edits.length; at++) {
    const edit = edits[at];
    try {
      if (edit.verb === 'remove') headers.remove(edit.name);
      else headers[edit.verb](edit.name, edit.value);
    } catch (error) {
      // An imported function that returns a result throws its error, as `payload`. The settings were checked, so this is about
      // the message: it names the field in `connection`, or there is too much.
      write('warn', `${edit.name} was not written: ${/** @type {{ payload: string }} */ (error).payload}`);
    }
  }
}

/** @param {string} bytes one character for each byte */
function text(bytes) {
  return new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
}
