// Makes a component of policy.js.
import { componentize } from '@bytecodealliance/componentize-js';
// No part of the package's interface: look here first when another version of it does not build.
import { splicer } from './node_modules/@bytecodealliance/componentize-js/lib/spidermonkey-embedding-splicer.js';
import { writeFile } from 'node:fs/promises';

// What componentize-js generates around a policy does two things for nothing in each call: it describes itself to a debug log
// that a component can't have, and has the collector watch resources so that it drops them. All resources of this contract are lent, and
// are dropped when the hook returns. Without both a call costs a quarter less.
const IDLE = /^ *(_debugLog\('[^;]*\)|finalizationRegistry_[\w$]+\.(un)?register\([^;]*\));\n/gm;

const { spliceBindings } = splicer;
splicer.spliceBindings = (...args) => {
  const spliced = spliceBindings.apply(splicer, args);
  const jsBindings = spliced.jsBindings.replace(IDLE, '');
  if (jsBindings === spliced.jsBindings) console.warn('nothing is left out of what componentize-js generates: see IDLE in build.mjs');
  return { ...spliced, jsBindings };
};

const { component } = await componentize({
  sourcePath: 'policy.js',
  witPath: 'wit',
  worldName: 'policy',
  // Time and randomness come from the contract, output goes to its log: nothing is asked of WASI.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('POLICY_NAME.wasm', component);
