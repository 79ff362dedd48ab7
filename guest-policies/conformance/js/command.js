// The request's fields `x-do`, and the commands that any hook does.
import { add, define } from 'waypost:policy/counters@0.1.0';
import { write } from 'waypost:policy/log@0.1.0';

/**
 * Bytes are strings of as many characters here, because they need not be text.
 * @typedef {{ verb: string, rest: string }} Command
 */

/** @param {Uint8Array} bytes */
export const fromBytes = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
/** @param {string} string */
export const toBytes = (string) => Uint8Array.from(string, (letter) => letter.charCodeAt(0));
/** As text; other bytes are replaced. @param {string} string */
export const text = (string) => new TextDecoder().decode(toBytes(string));

/** @param {import('../../header-router-js/waypost').Request} request @param {string} hook @returns {Command[]} */
export function commands(request, hook) {
  const split = request.headerValues('x-do').map((line) => cut(fromBytes(line), 3));
  return split.filter(([own]) => own === hook).map(([, verb, rest = '']) => ({ verb, rest }));
}

/** Splits into so many parts at most; the last is all of the rest. @param {string} line @param {number} parts @returns {string[]} */
export function cut(line, parts) {
  const at = parts > 1 ? line.indexOf(' ') : -1;
  return at < 0 ? [line] : [line.slice(0, at), ...cut(line.slice(at + 1), parts - 1)];
}

/** @param {string} digits */
export function number(digits) {
  if (!/^\d+$/.test(digits)) throw new Error(`${digits} is no number`);
  return Number(digits);
}

/** Does a command of any hook; a refusal is returned. @param {Command} command @param {string} hook */
export function any({ verb, rest }, hook) {
  switch (verb) {
    case 'trap':
      // What is thrown and is not the hook's own error type is a trap.
      throw new Error('told to');
    case 'loop':
      for (;;);
    case 'exhaust':
      for (const taken = []; ; ) taken.push(new Uint8Array(1 << 20).fill(1));
    case 'refuse':
      return refusal(number(rest), hook);
    case 'count': {
      const [name, amount] = cut(rest, 2);
      count(name, BigInt(amount));
      return undefined;
    }
    case 'log': {
      const [level, message] = cut(rest, 2);
      write(/** @type {import('waypost:policy/log@0.1.0').Level} */ (level), text(message));
      return undefined;
    }
    default:
      throw new Error(`${hook} has no command ${verb}`);
  }
}

/** @param {string} name @param {bigint} amount */
export function count(name, amount) {
  add(define(name), amount);
}

/** @param {number} status @param {[string, string][]} fields @param {string} body @returns {import('../../header-router-js/waypost').Response} */
export function respond(status, fields, body) {
  return { status, headers: fields.map(([name, value]) => [name, toBytes(value)]), body: toBytes(body) };
}

/** @param {number} status @param {string} hook */
function refusal(status, hook) {
  return respond(
    status,
    [['x-refused', hook], ['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-bytes', '\xff\x80']],
    `refused by ${hook}`,
  );
}
