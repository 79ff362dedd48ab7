// Makes a component of policy.js.
import { componentize } from '@bytecodealliance/componentize-js';
// No part of the package's interface: look here first when another version of it does not build.
import { splicer } from './node_modules/@bytecodealliance/componentize-js/lib/spidermonkey-embedding-splicer.js';
import { writeFile } from 'node:fs/promises';

// What componentize-js generates around a policy does two things for nothing in each call: it
// describes itself to a debug log that a component can't have, and has the collector watch
// resources so that it drops them. All resources of this contract are lent, and are dropped when
// the hook returns. Without both a call costs a quarter less.
const IDLE = /^ *(_debugLog\('[^;]*\)|finalizationRegistry_[\w$]+\.(un)?register\([^;]*\));\n/gm;

// An exception that is not the hook's own error ends in a trap, which says nothing. So it is
// logged first, and the proxy quotes the line beside the fault. What is generated takes any
// exception for the hook's own error, and fails when it looks for the parts of one: `thrown` is
// what it was before. The frames of what is generated are left out.
const EXPORTED = /^(async function export_[\w$]+\([^)]*\) \{\n)([^]*?)^\}$/gm;
const CAUGHT = 'function getErrorPayload(e) {\n';
const REPORT = `
let thrown = null;
function described(e) {
  try {
    // An error of the policy's own realm is not an Error of this one.
    return typeof e !== 'object' || typeof e?.stack === 'string' ? String(e) : JSON.stringify(e);
  } catch {
    return 'what can not be shown';
  }
}
function reportException(e) {
  if (typeof import_waypost_policy_log_0_1_0$write !== 'function') return;
  const first = thrown === null ? e : thrown.value;
  const frames = String(first?.stack ?? '').split('\\n');
  const own = frames.filter((frame) => frame && !frame.includes('export_'));
  // The proxy quotes 1 KiB, and the frames are to be among it.
  const reason = described(first);
  const shown = reason.length > 600 ? reason.slice(0, 600) + '...' : reason;
  import_waypost_policy_log_0_1_0$write('error', ['uncaught ' + shown, ...own].join(' < '));
}
`;

const { spliceBindings } = splicer;
splicer.spliceBindings = (...args) => {
  const spliced = spliceBindings.apply(splicer, args);
  const shorter = spliced.jsBindings.replace(IDLE, '');
  if (shorter === spliced.jsBindings) console.warn('nothing is left out of what componentize-js generates: see IDLE in build.mjs');
  const jsBindings = shorter
    .replace(EXPORTED, '$1thrown = null;\ntry {\n$2} catch (e) { reportException(e); throw e; }\n}')
    .replace(CAUGHT, CAUGHT + '  thrown = { value: e };\n') + REPORT;
  if (!jsBindings.includes('reportException(e); throw') || !jsBindings.includes('thrown = { value: e };')) {
    console.warn('exceptions are not logged: see EXPORTED and CAUGHT in build.mjs');
  }
  return { ...spliced, jsBindings };
};

const { component } = await componentize({
  sourcePath: 'policy.js',
  witPath: 'wit',
  worldName: 'policy',
  // Time and randomness come from the contract, output goes to its log: nothing is asked of WASI.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(process.env.OUTPUT ?? 'POLICY_NAME.wasm', component);
