// `node build.mjs SOURCE WIT WORLD OUT`: makes a component of a JavaScript module and those that it imports.
import { componentize } from '@bytecodealliance/componentize-js';
// No part of the package's interface, so the package is pinned to one version, in package.json and in the lock.
import { splicer } from './node_modules/@bytecodealliance/componentize-js/lib/spidermonkey-embedding-splicer.js';
import { writeFile } from 'node:fs/promises';

// What componentize-js generates around a policy describes each call to a debug log that a component can't have. The descriptions
// are made all the same, and are a quarter of what a selection costs.
const DEBUG_LOG = /^ *_debugLog\('[^;]*\);\n/gm;

const { spliceBindings } = splicer;
splicer.spliceBindings = (...args) => {
  const spliced = spliceBindings.apply(splicer, args);
  return { ...spliced, jsBindings: spliced.jsBindings.replace(DEBUG_LOG, '') };
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
