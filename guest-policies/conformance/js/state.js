// What the instance remembers.

export const state = {
  calls: 0,
  /** @type {{ greeting?: string, pick?: number }} */
  settings: {},
  /** By id, as the command `topology` tells it. @type {Map<number, string>} */
  pools: new Map(),
  /** By id, what the operator calls it. @type {Map<number, string>} */
  names: new Map(),
};
