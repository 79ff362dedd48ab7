// The contract waypost:policy@0.1.0 as componentize-js shows it to JavaScript and TypeScript.
//
// An exported interface is an exported object of its type here: `/** @type {import('./waypost').Selection} */ export const
// selection = {...}` in JavaScript, `export const selection: Selection = {...}` in TypeScript. Imported interfaces are modules.
// The error of a hook's result is thrown as it is; any other exception is a trap. The error of an imported result is caught: it is
// `error.payload`. The imported modules are in imports.d.ts.

/** The request being decided: read-only, and valid until the hook returns. */
export interface Request {
  method(): string;
  scheme(): string;
  host(): string;
  /** In normal form: what routes match. */
  path(): string;
  /** As it was received. */
  rawPath(): string;
  query(): string | undefined;
  clientAddress(): string;
  /** The pool that takes the request; 4294967295 in `destination`. */
  pool(): number;
  /** The pools of the route, or of `[forward]`. */
  pools(): Uint32Array;
  header(name: string): Uint8Array | undefined;
  headerValues(name: string): Uint8Array[];
  headerNames(): string[];
}

/** The header fields of the message on its way; valid until the hook returns. Edits throw `{ payload: HeaderError }`. */
export interface Headers {
  first(name: string): Uint8Array | undefined;
  values(name: string): Uint8Array[];
  names(): string[];
  set(name: string, value: Uint8Array): void;
  append(name: string, value: Uint8Array): void;
  remove(name: string): void;
}

export type HeaderError = 'invalid-name' | 'invalid-value' | 'forbidden' | 'too-many';

/** What the backend will be asked for; valid until the hook returns. Edits throw `{ payload: TargetError }`. */
export interface Target {
  path(): string;
  query(): string | undefined;
  /** With its port if it has one. */
  host(): string;
  setPath(path: string): void;
  /** Undefined removes it. */
  setQuery(query: string | undefined): void;
  setHost(host: string): void;
}

export type TargetError = 'not-allowed' | 'invalid' | 'too-many';

/** An answer to the client in place of a backend; hooks throw it. */
export interface Response {
  status: number;
  headers: [name: string, value: Uint8Array][];
  body: Uint8Array;
}

export interface Pool {
  id: number;
  name: string;
}

export interface Backend {
  address: string;
  weight: number;
  labels: [key: string, value: string][];
}

/** Both ends are included; only `first` is from there to the end, only `last` the final `last` bytes. */
export interface ByteRange {
  first?: bigint;
  last?: bigint;
}

export type RequestFailure = 'client' | 'policy' | 'refused' | 'backend' | 'timeout' | 'cancelled';

/** What became of a request. A backend that has left its pool's list is 4294967295. */
export interface Outcome {
  pool: number;
  backend?: number;
  status?: number;
  failure?: RequestFailure;
  attempts: number;
  firstByteMicroseconds?: bigint;
  latencyMicroseconds?: bigint;
  durationMicroseconds: bigint;
  requestBytes: bigint;
  responseBytes: bigint;
}

export interface Configuration {
  /** Throws a string: why the settings are refused. */
  configure(settings: string): void;
}

export interface Topology {
  backendsChanged(pool: Pool, generation: bigint, backends: Backend[]): void;
}

export interface Selection {
  /** An index into the pool's backends, or undefined: the next policy chooses. Throws a Response. */
  select(request: Request, pool: number, attempt: number): number | undefined;
}

export interface RequestHeaders {
  /** Throws a Response. */
  editRequest(request: Request, headers: Headers): void;
}

export interface RequestTarget {
  /** Where the route lets its policies edit something. Throws a Response. */
  editTarget(request: Request, target: Target): void;
}

export interface Routing {
  /** An index into `request.pools()`, or undefined: the next policy chooses. Throws a Response. */
  route(request: Request): number | undefined;
}

export interface Destination {
  /**
   * An index into `request.pools()`, or undefined: the next policy decides, and after the last the rules of the forward proxy.
   * Throws a Response.
   */
  decide(request: Request, port: number, user: string | undefined): number | undefined;
}

export interface ResponseHeaders {
  /** Throws a Response. */
  editResponse(request: Request, status: number, backend: number, headers: Headers): void;
}

export interface LocalResponse {
  /** For a response that the proxy or a policy has made. */
  editLocalResponse(request: Request, status: number, source: 'proxy' | 'policy', headers: Headers): void;
}

export interface Range {
  /** Undefined: not about byte ranges; no ranges: to be ignored. Throws a Response. */
  check(request: Request): ByteRange[] | undefined;
}

export interface Completion {
  /** Once for each request that another hook was asked about, after its end. */
  completed(request: Request, outcome: Outcome): void;
}
