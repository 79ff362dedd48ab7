// The commands of the hooks that edit header fields.
import { millisecondsLeft } from 'waypost:policy/attempts@0.1.0';
import {
  consecutiveFailures,
  healthy,
  inFlight,
  inFlightOfAll,
  latencyMicroseconds,
  queued,
  queuedInPool,
  state as healthState,
} from 'waypost:policy/backend-facts@0.1.0';
import * as certificate from 'waypost:policy/client-certificate@0.1.0';
import * as connection from 'waypost:policy/connection@0.1.0';
import { define } from 'waypost:policy/counters@0.1.0';
import { monotonicNanoseconds, unixMilliseconds } from 'waypost:policy/clock@0.1.0';
import { below, bits } from 'waypost:policy/random@0.1.0';
import * as store from 'waypost:policy/store@0.1.0';
import { count, cut, number, text, toBytes } from './command.js';
import { state } from './state.js';

/**
 * @typedef {import('../../header-router-js/waypost').Request} Request
 * @typedef {import('../../header-router-js/waypost').Headers} Headers
 */

/**
 * What came of a command; undefined if it is none of a header hook.
 * @param {import('./command.js').Command} command
 * @param {Request} request
 * @param {Headers} headers
 * @param {string} answer
 * @returns {string | undefined}
 */
export function outcome({ verb, rest }, request, headers, answer) {
  const name = text(rest);
  switch (verb) {
    case 'set':
    case 'append':
    case 'remove':
      return attempt(() => edit(verb, rest, headers));
    case 'first':
      return optional(headers.first(name));
    case 'values':
      return all(headers.values(name));
    case 'names':
      return headers.names().join(',');
    case 'request-first':
      return optional(request.header(name));
    case 'request-values':
      return all(request.headerValues(name));
    case 'request-names':
      return request.headerNames().join(',');
    case 'echo':
      return echo(request);
    case 'answer':
      return answer;
    case 'greeting':
      return hex(new TextEncoder().encode(state.settings.greeting ?? ''));
    case 'topology':
      return state.pools.get(request.pool());
    case 'facts':
      return facts(number(rest));
    case 'state':
      return `${healthState(number(rest))} ${inFlightOfAll(number(rest))}`;
    case 'queues':
      return `${queued(number(rest))} ${queuedInPool()}`;
    case 'time-left':
      return told(millisecondsLeft());
    case 'connection':
      return told(
        connection.protocol(),
        connection.tls(),
        connection.cipherSuite(),
        connection.serverName(),
        connection.applicationProtocol(),
      );
    case 'certificate':
      return told(
        certificate.serialNumber(),
        certificate.fingerprint(),
        certificate.expiresMilliseconds(),
        certificate.names().map(({ tag, val }) => `${tag}:${val}`).join(',') || undefined,
        certificate.subject(),
      );
    case 'random':
      return `${below(number(rest))} ${bits()}`;
    case 'clock':
      return `${monotonicNanoseconds()} ${unixMilliseconds()}`;
    case 'calls':
      return `${state.calls}`;
    case 'define':
      return attempt(() => void define(name));
    default:
      return stored(verb, rest);
  }
}

/** Appends fields until one is refused. @param {number} wanted @param {Headers} headers */
export function many(wanted, headers) {
  for (let at = 0; at < wanted; at++) {
    const did = attempt(() => headers.append('x-many', toBytes(`${at}`)));
    if (did !== 'ok') return count(did.replace('-', '_'), 1n);
  }
}

/** @param {'set' | 'append' | 'remove'} verb @param {string} rest @param {Headers} headers */
function edit(verb, rest, headers) {
  if (verb === 'remove') return headers.remove(text(rest));
  const [name, value] = cut(rest, 2);
  headers[verb](text(name), toBytes(value));
}

/** @param {string} verb @param {string} rest */
function stored(verb, rest) {
  switch (verb) {
    case 'store-get':
      return optional(store.get(text(rest)));
    case 'store-set': {
      const [key, ttl, value] = cut(rest, 3);
      return attempt(() => store.set(key, toBytes(value), BigInt(ttl)));
    }
    case 'store-remove':
      return `${store.remove(text(rest))}`;
    case 'store-swap': {
      const [key, ttl, before, value] = cut(rest, 4);
      const expected = before === '-' ? undefined : toBytes(before);
      return attempt(() => store.compareAndSet(key, expected, toBytes(value), BigInt(ttl)));
    }
    case 'store-add': {
      const [key, ttl, by] = cut(rest, 3);
      return attempt(() => store.increment(key, BigInt(by), BigInt(ttl)));
    }
    case 'store-sub': {
      const [key, ttl, by] = cut(rest, 3);
      return attempt(() => store.decrement(key, BigInt(by), BigInt(ttl)));
    }
    case 'store-counter':
      return `${store.counter(text(rest)) ?? 'none'}`;
    default:
      return undefined;
  }
}

/** What a call answers, `ok` if nothing, or the error of its result. @param {() => unknown} call */
export function attempt(call) {
  try {
    return `${call() ?? 'ok'}`;
  } catch (error) {
    return /** @type {{ payload: string }} */ (error).payload;
  }
}

/** @param {Request} request */
function echo(request) {
  const query = request.query();
  const asked = query === undefined ? 'none' : `?${query}`;
  return [request.method(), request.scheme(), request.host(), request.path(), asked, request.clientAddress()].join(' ');
}

/** @param {number} backend */
function facts(backend) {
  return [inFlight(backend), latencyMicroseconds(backend), healthy(backend), consecutiveFailures(backend)].join(' ');
}

/** @param {(string | bigint | undefined)[]} parts */
function told(...parts) {
  return parts.map((part) => part ?? 'none').join(' ');
}

/** @param {Uint8Array | undefined} value */
function optional(value) {
  return value === undefined ? 'none' : hex(value);
}

/** @param {Uint8Array[]} values */
function all(values) {
  return values.length === 0 ? 'none' : values.map(hex).join(',');
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
