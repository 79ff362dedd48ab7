// The hooks that say where a request goes.
import { any, commands, number, text } from './command.js';
import { attempt } from './report.js';
import { state } from './state.js';

/**
 * @typedef {import('../../header-router-js/waypost').Request} Request
 * @typedef {import('../../header-router-js/waypost').Target} Target
 * @typedef {import('./command.js').Command} Command
 */

/** @type {import('../../header-router-js/waypost').Routing} */
export const routing = {
  route(request) {
    return pool(request, 'route', '');
  },
};

/** @type {import('../../header-router-js/waypost').Destination} */
export const destination = {
  decide(request, port, user) {
    return pool(request, 'decide', `${request.host()} ${port} ${user ?? 'none'} `);
  },
};

/** @param {Request} request @param {string} hook @param {string} before What is told before the pools. */
function pool(request, hook, before) {
  state.calls++;
  /** @type {number | undefined} */
  let choice;
  let refused;
  for (const command of commands(request, hook)) {
    if (command.verb === 'pool') choice = indexOf(request, text(command.rest));
    else if (command.verb === 'index') choice = number(command.rest);
    else if (command.verb === 'none') choice = undefined;
    else if (command.verb === 'tell') refused = told(403, before + pools(request));
    else refused = any(command, hook) ?? refused;
  }
  if (refused) throw refused;
  return choice;
}

/** @param {Request} request @param {string} name */
function indexOf(request, name) {
  const at = names(request).indexOf(name);
  return at < 0 ? undefined : at;
}

/** What the operator calls a pool. @param {number} id */
function name(id) {
  return state.names.get(id) ?? `${id}`;
}

/** @param {Request} request */
function names(request) {
  // A list of u32 is a typed array, whose `map` would make numbers of the names.
  return Array.from(request.pools(), name);
}

/** @param {Request} request */
function pools(request) {
  return `${name(request.pool())} ${names(request).join(',') || 'none'}`;
}

/** @type {import('../../header-router-js/waypost').RequestTarget} */
export const requestTarget = {
  editTarget(request, target) {
    state.calls++;
    /** @type {string[]} */
    const outcomes = [];
    let refused;
    for (const command of commands(request, 'target')) {
      const edit = edits(command, target);
      if (edit) outcomes.push(attempt(edit));
      else if (command.verb === 'tell') refused = told(200, [read(target), ...outcomes].join(' '));
      else refused = any(command, 'target') ?? refused;
    }
    if (refused) throw refused;
  },
};

/** The edit that is wanted; undefined if the command is none. @param {Command} command @param {Target} target */
function edits({ verb, rest }, target) {
  switch (verb) {
    case 'path':
      return () => target.setPath(text(rest));
    case 'query':
      return () => target.setQuery(text(rest));
    case 'no-query':
      return () => target.setQuery(undefined);
    case 'host':
      return () => target.setHost(text(rest));
    default:
      return undefined;
  }
}

/** @param {Target} target */
function read(target) {
  const query = target.query();
  return [target.path(), query === undefined ? 'none' : `?${query}`, target.host()].join(' ');
}

/** @param {number} status @param {string} text @returns {import('../../header-router-js/waypost').Response} */
function told(status, text) {
  return { status, headers: [], body: new TextEncoder().encode(text) };
}
