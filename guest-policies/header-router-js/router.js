// A header field names the backend, and fields are set and removed on the way in and out.
import { add, define } from 'waypost:policy/counters@0.1.0';
import { failed } from 'waypost:policy/attempts@0.1.0';
import { healthy } from 'waypost:policy/backend-facts@0.1.0';
import { write } from 'waypost:policy/log@0.1.0';
import { below } from 'waypost:policy/random@0.1.0';

const bytes = (text) => new TextEncoder().encode(text);
const text = (value) => new TextDecoder().decode(value);

let settings;
let counters;
// Pool id to its backends: each a set of the names that a route may call it by.
const pools = new Map();

export const configuration = {
  configure(json) {
    const given = parse(json);
    const known = ['header', 'routes', 'request', 'response'];
    const unknown = Object.keys(given).find((key) => !known.includes(key));
    // What is thrown in a hook that returns a result is its error.
    if (unknown) throw `${unknown}: unknown key; there are ${known.join(', ')}`;
    if (typeof given.header !== 'string') throw 'header: missing; name the field that chooses the backend';
    settings = { request: {}, response: {}, ...given, routes: new Map(Object.entries(given.routes ?? {})) };
    counters = { routed: define('routed'), unmatched: define('unmatched') };
  },
};

export const topology = {
  backendsChanged(pool, generation, backends) {
    const names = ({ address, labels }) => [address, ...labels.filter(([key]) => key === 'name').map(([, name]) => name)];
    pools.set(pool.id, backends.map(names));
    write('info', `pool ${pool.name}: ${backends.length} backends, generation ${generation}`);
  },
};

export const selection = {
  select(request, pool, attempt) {
    const value = request.header(settings.header);
    const target = value && settings.routes.get(text(value));
    // Only a request that is tried again has anything to ask about.
    const past = attempt > 1 ? failed() : [];
    const usable = (index) => past.every(({ backend }) => backend !== index) && healthy(index);
    const named = (pools.get(pool) ?? []).flatMap((names, index) => (names.includes(target) && usable(index) ? [index] : []));
    // 64-bit numbers are BigInts, 32-bit ones are numbers.
    add(named.length ? counters.routed : counters.unmatched, 1n);
    // `undefined` is the contract's `none`.
    return named.length ? named[below(named.length)] : undefined;
  },
};

export const requestHeaders = {
  editRequest(request, headers) {
    edit(settings.request, headers);
  },
};

export const responseHeaders = {
  editResponse(request, status, backend, headers) {
    edit(settings.response, headers);
  },
};

function parse(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    // Any other exception than the hook's own error type is a trap.
    throw `settings: not JSON: ${error.message}`;
  }
}

function edit({ remove = [], set = {}, append = {} }, headers) {
  for (const name of remove) tell(name, () => headers.remove(name));
  for (const [name, value] of Object.entries(set)) tell(name, () => headers.set(name, bytes(value)));
  for (const [name, value] of Object.entries(append)) tell(name, () => headers.append(name, bytes(value)));
}

function tell(name, change) {
  try {
    change();
  } catch (error) {
    // An imported function that returns a result throws its error, as `payload`.
    write('warn', `${name} was not written: ${error.payload}`);
  }
}
