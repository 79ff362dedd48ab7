// The `conformance` policy in JavaScript; `../SPEC.md` says what it does.
import { failed } from 'waypost:policy/attempts@0.1.0';
import { write } from 'waypost:policy/log@0.1.0';
import { any, commands, count, number, respond } from './command.js';
import { many, outcome } from './report.js';
import { state } from './state.js';

export { destination, requestTarget, routing } from './ways.js';

/** @type {import('../../header-router-js/waypost').Configuration} */
export const configuration = {
  configure(json) {
    let given;
    try {
      given = JSON.parse(json);
    } catch (error) {
      throw `settings: not JSON: ${/** @type {Error} */ (error).message}`;
    }
    if (typeof given !== 'object' || given === null || Array.isArray(given)) throw 'settings: has to be a table';
    for (const [key, value] of Object.entries(given)) {
      if (!['greeting', 'pick', 'refuse'].includes(key)) throw `${key}: unknown key`;
      if (key !== 'pick' && typeof value !== 'string') throw `${key}: has to be a string`;
      const whole = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
      if (key === 'pick' && !whole) throw 'pick: has to be a whole number';
    }
    if (given.refuse !== undefined) throw given.refuse;
    state.settings = given;
    count('configured', 1n);
  },
};

/** @type {import('../../header-router-js/waypost').Topology} */
export const topology = {
  backendsChanged(pool, generation, backends) {
    const told = backends.map(({ address, weight, labels }) => {
      return [`${address}/${weight}`, ...labels.map(([key, value]) => `${key}=${value}`)].join('/');
    });
    state.names.set(pool.id, pool.name);
    state.pools.set(pool.id, [`${pool.name} ${generation}`, ...told].join(' '));
  },
};

/** @type {import('../../header-router-js/waypost').Range} */
export const range = {
  check(request) {
    state.calls++;
    /** @type {import('../../header-router-js/waypost').ByteRange[] | undefined} */
    let answer;
    let refused;
    for (const command of commands(request, 'range')) {
      if (command.verb === 'ignore') answer = [];
      else if (command.verb === 'ranges') answer = command.rest.split(',').map(byteRange);
      else refused = any(command, 'range') ?? refused;
    }
    if (refused) throw refused;
    return answer;
  },
};

/** @param {string} text */
function byteRange(text) {
  const [first, last] = text.split('-').map((end) => (end === '' ? undefined : BigInt(end)));
  return { first, last };
}

/** @type {import('../../header-router-js/waypost').Selection} */
export const selection = {
  select(request, _pool, attempt) {
    state.calls++;
    let choice = state.settings.pick;
    let refused;
    for (const command of commands(request, 'select')) {
      if (command.verb === 'pick') choice = number(command.rest);
      else if (command.verb === 'none') choice = undefined;
      else if (command.verb === 'picks') choice = command.rest.split(',').map(number)[attempt - 1];
      else if (command.verb === 'tell') refused = number(command.rest) === attempt ? tell(attempt) : refused;
      else refused = any(command, 'select') ?? refused;
    }
    if (refused) throw refused;
    return choice;
  },
};

/** @param {number} attempt */
function tell(attempt) {
  return respond(200, [], `${attempt}${past()}`);
}

/** The attempts that failed, each after a space. */
function past() {
  return failed().map(({ backend, failure }) => ` ${backend}:${failure}`).join('');
}

/** @type {import('../../header-router-js/waypost').Completion} */
export const completion = {
  completed(request, outcome) {
    for (const command of commands(request, 'completed')) {
      // There is nothing to refuse any more.
      if (command.verb !== 'tell') any(command, 'completed');
      else write('info', heard(outcome));
    }
  },
};

/** @param {import('../../header-router-js/waypost').Outcome} outcome */
function heard(outcome) {
  const parts = [
    outcome.pool,
    outcome.backend,
    outcome.status,
    outcome.failure,
    outcome.attempts,
    outcome.firstByteMicroseconds,
    outcome.latencyMicroseconds,
    outcome.durationMicroseconds,
    outcome.requestBytes,
    outcome.responseBytes,
  ];
  return `heard ${parts.map((part) => part ?? 'none').join(' ')}${past()}`;
}

/** @type {import('../../header-router-js/waypost').RequestHeaders} */
export const requestHeaders = {
  editRequest(request, headers) {
    edit('request', request, headers, 'none');
  },
};

/** @type {import('../../header-router-js/waypost').ResponseHeaders} */
export const responseHeaders = {
  editResponse(request, status, backend, headers) {
    edit('response', request, headers, `${status} ${backend}`);
  },
};

/** @type {import('../../header-router-js/waypost').LocalResponse} */
export const localResponse = {
  editLocalResponse(request, status, source, headers) {
    try {
      edit('local', request, headers, `${status} ${source}`);
    } catch (refused) {
      // A refusal is no error, and there is nothing to refuse.
      if (refused instanceof Error) throw refused;
    }
  },
};

/**
 * @param {string} hook
 * @param {import('../../header-router-js/waypost').Request} request
 * @param {import('../../header-router-js/waypost').Headers} headers
 * @param {string} answer
 */
function edit(hook, request, headers, answer) {
  state.calls++;
  let refused;
  for (const command of commands(request, hook)) {
    const did = outcome(command, request, headers, answer);
    if (command.verb === 'many') many(number(command.rest), headers);
    else if (did === undefined) refused = any(command, hook) ?? refused;
    else {
      try {
        headers.append('x-did', new TextEncoder().encode(did));
      } catch {
        // A refused edit shows as a field that is missing.
      }
    }
  }
  if (refused) throw refused;
}
