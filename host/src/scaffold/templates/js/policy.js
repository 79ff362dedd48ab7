// Requests with a field such as `x-canary: yes` go to the backends with the label `track` = `canary`, all others to the rest.
import { add, define } from 'waypost:policy/counters@0.1.0';
import { failed } from 'waypost:policy/attempts@0.1.0';
import { healthy } from 'waypost:policy/backend-facts@0.1.0';
import { below } from 'waypost:policy/random@0.1.0';

let header;
let taken;
/** By pool: the indices of its backends. */
const pools = new Map();
const decoder = new TextDecoder();

export const configuration = {
  configure(json) {
    const { header: name, ...unknown } = JSON.parse(json);
    // What a hook throws is the error of its result: the operator reads it, and nothing that runs changes.
    for (const key of Object.keys(unknown)) throw `${key}: unknown key`;
    if (typeof name !== 'string') throw 'header: has to be the name of a field';
    header = name;
    taken = define('canary');
  },
};

export const topology = {
  backendsChanged(pool, _generation, backends) {
    const tracks = { canary: [], stable: [] };
    backends.forEach(({ labels }, index) => {
      const canary = labels.some(([key, value]) => key === 'track' && value === 'canary');
      tracks[canary ? 'canary' : 'stable'].push(index);
    });
    pools.set(pool.id, tracks);
  },
};

export const selection = {
  select(request, pool, attempt) {
    const value = request.header(header);
    const canary = value !== undefined && decoder.decode(value) === 'yes';
    // The first attempt is nearly every request: it has nothing to ask about.
    const past = attempt > 1 ? failed().map(({ backend }) => backend) : [];
    const track = pools.get(pool)?.[canary ? 'canary' : 'stable'] ?? [];
    const usable = track.filter((backend) => !past.includes(backend) && healthy(backend));
    // `undefined` is the contract's `none`: the proxy chooses.
    if (usable.length === 0) return undefined;
    // 64-bit numbers are BigInts.
    if (canary) add(taken, 1n);
    return usable[below(usable.length)];
  },
};
