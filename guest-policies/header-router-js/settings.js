// The operator's settings: JSON text to meaning. Every error names its key; it is thrown as a string, which is what refuses
// the settings.

/**
 * @typedef {{ verb: 'remove', name: string } | { verb: 'set' | 'append', name: string, value: Uint8Array }} Edit
 * @typedef {{ header: string, routes: Map<string, string>, fallback: string, request: Edit[], response: Edit[] }} Settings
 */

// What the contract keeps for the host; told here, so that the mistake shows when the policy is loaded.
const HOST_FIELDS = [
  'connection', 'content-length', 'expect', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
];

const encoder = new TextEncoder();

/** @param {string} text @returns {Settings} */
export function parseSettings(text) {
  const given = table(parse(text), 'settings');
  only(given, '', ['header', 'routes', 'fallback', 'request', 'response']);
  if (given.header === undefined) throw 'header: missing; name the field that chooses the backend';
  return {
    header: fieldName(string(given.header, 'header'), 'header'),
    routes: routes(given.routes),
    fallback: fallback(given.fallback),
    request: edits(given.request, 'request'),
    response: edits(given.response, 'response'),
  };
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw `settings: not JSON: ${/** @type {Error} */ (error).message}`;
  }
}

/** Values are kept as they come in a request: one character for each byte. @param {unknown} value */
function routes(value) {
  const entries = strings(value, 'routes');
  const empty = entries.find(([, target]) => target === '');
  if (empty) throw `routes.${empty[0]}: is empty; give an address or the name label of a backend`;
  return new Map(entries.map(([from, target]) => [byteString(encoder.encode(from)), target]));
}

/** @param {unknown} value */
function fallback(value = 'none') {
  const given = string(value, 'fallback');
  if (given !== 'none' && given !== 'hash') throw `fallback: "${given}" is neither "none" nor "hash"`;
  return given;
}

/** In the order in which they are made. @param {unknown} value @param {string} key @returns {Edit[]} */
function edits(value = {}, key) {
  const given = table(value, key);
  only(given, `${key}.`, ['set', 'append', 'remove']);
  return [
    ...removals(given.remove, `${key}.remove`),
    ...writings('set', given.set, `${key}.set`),
    ...writings('append', given.append, `${key}.append`),
  ];
}

/** @param {unknown} value @param {string} key @returns {Edit[]} */
function removals(value = [], key) {
  if (!Array.isArray(value)) throw `${key}: has to be a list of field names`;
  return value.map((name) => ({ verb: 'remove', name: writable(string(name, key), key) }));
}

/** @param {'set' | 'append'} verb @param {unknown} value @param {string} key @returns {Edit[]} */
function writings(verb, value, key) {
  return strings(value, key).map(([name, text]) => {
    const field = writable(name, key);
    // Control characters are those below space, DEL, and U+0080 to U+009F.
    if (/[\x00-\x08\x0a-\x1f\x7f-\x9f]/.test(text)) throw `${key}.${name}: a field value has no control characters`;
    return { verb, name: field, value: encoder.encode(text) };
  });
}

/** @param {unknown} value @param {string} key @returns {[string, string][]} */
function strings(value = {}, key) {
  return Object.entries(table(value, key)).map(([name, text]) => [name, string(text, `${key}.${name}`)]);
}

/** @param {unknown} value @param {string} key @returns {Record<string, unknown>} */
function table(value, key) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw `${key}: has to be a table`;
  return /** @type {Record<string, unknown>} */ (value);
}

/** @param {unknown} value @param {string} key */
function string(value, key) {
  if (typeof value !== 'string') throw `${key}: has to be a string`;
  return value;
}

/** @param {string} given @param {string} key */
function writable(given, key) {
  const name = fieldName(given, key);
  if (HOST_FIELDS.includes(name)) throw `${key}: "${name}" belongs to the proxy, a policy can't write it`;
  return name;
}

/** @param {string} name @param {string} key */
function fieldName(name, key) {
  if (!/^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/.test(name)) throw `${key}: "${name}" is not a field name`;
  return name.toLowerCase();
}

/** @param {Record<string, unknown>} given @param {string} prefix @param {string[]} known */
function only(given, prefix, known) {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined) throw `${prefix}${unknown}: unknown key; there are ${known.join(', ')}`;
}

/** Bytes as a string of as many characters: values need not be text. @param {Uint8Array} bytes @returns {string} */
export function byteString(bytes) {
  // Spreading them, `fromCharCode(...bytes)`, does the same and costs a hundred thousand instructions more.
  return Reflect.apply(String.fromCharCode, undefined, bytes);
}
