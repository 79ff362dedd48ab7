// Makes a component of policy.js.
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const { component } = await componentize({
  sourcePath: 'policy.js',
  witPath: 'wit',
  worldName: 'policy',
  // Time and randomness come from the contract, output goes to its log: nothing is asked of WASI.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('POLICY_NAME.wasm', component);
