// Makes header-router-js.wasm of router.js.
import { componentize } from '@bytecodealliance/componentize-js';
import { cp, writeFile } from 'node:fs/promises';

// The contract has one home, ../../wit; the tool wants what a world depends on below `deps`.
await cp('../../wit/policy.wit', 'wit/deps/policy/policy.wit');

const { component } = await componentize({
  sourcePath: 'router.js',
  witPath: 'wit',
  worldName: 'header-router',
  // Time and randomness come from the contract, output goes to its log: nothing is asked of WASI.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('header-router-js.wasm', component);
