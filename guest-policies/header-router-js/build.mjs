// `node build.mjs SOURCE WIT WORLD OUT`: makes a component of a JavaScript module and those that it imports.
import { componentize } from '@bytecodealliance/componentize-js';
// No part of the package's interface, so the package is pinned to one version, in package.json and in the lock.
import { splicer } from './node_modules/@bytecodealliance/componentize-js/lib/spidermonkey-embedding-splicer.js';
import { writeFile } from 'node:fs/promises';

// What componentize-js generates around a policy does two things for nothing in each call, which are a quarter of what a selection costs:
// it describes itself to a debug log that a component can't have, and has the collector watch resources so that it drops them.
// All resources of this contract are lent: they are dropped when the hook returns, and dropping their numbers again would be wrong.
const IDLE = /^ *(_debugLog\('[^;]*\)|finalizationRegistry_[\w$]+\.(un)?register\([^;]*\));\n/gm;

const { spliceBindings } = splicer;
splicer.spliceBindings = (...args) => {
  const spliced = spliceBindings.apply(splicer, args);
  const jsBindings = spliced.jsBindings.replace(IDLE, '');
  if (jsBindings === spliced.jsBindings) console.warn('nothing is left out of what componentize-js generates: see IDLE in build.mjs');
  return { ...spliced, jsBindings };
};

const [sourcePath, witPath, worldName, out] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName,
  // Time and randomness come from the contract, output goes to its log: nothing is asked of WASI.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);
