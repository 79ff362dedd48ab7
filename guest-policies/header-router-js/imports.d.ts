// The host interfaces of waypost:policy@0.1.0, as componentize-js shows them.

declare module 'waypost:policy/log@0.1.0' {
  export type Level = 'debug' | 'info' | 'warn' | 'error';
  export function write(level: Level, message: string): void;
}

declare module 'waypost:policy/random@0.1.0' {
  export function below(bound: number): number;
  export function bits(): bigint;
}

declare module 'waypost:policy/clock@0.1.0' {
  export function monotonicNanoseconds(): bigint;
  export function unixMilliseconds(): bigint;
}

declare module 'waypost:policy/backend-facts@0.1.0' {
  export function inFlight(backend: number): number;
  export function latencyMicroseconds(backend: number): bigint;
  export function healthy(backend: number): boolean;
  export function consecutiveFailures(backend: number): number;
  export type HealthState = 'healthy' | 'degraded' | 'ejected' | 'draining' | 'down';
  export function state(backend: number): HealthState;
  export function inFlightOfAll(backend: number): number;
  export function queued(backend: number): number;
  export function queuedInPool(): number;
}

declare module 'waypost:policy/attempts@0.1.0' {
  export type Failure = 'connect' | 'connect-timeout' | 'closed' | 'other';
  export interface FailedAttempt {
    backend: number;
    failure: Failure;
  }
  export function failed(): FailedAttempt[];
  export function millisecondsLeft(): bigint | undefined;
}

declare module 'waypost:policy/connection@0.1.0' {
  export type HttpVersion = 'http10' | 'http11' | 'http2';
  export type TlsVersion = 'tls12' | 'tls13';
  export function protocol(): HttpVersion;
  export function tls(): TlsVersion | undefined;
  export function cipherSuite(): string | undefined;
  export function serverName(): string | undefined;
  export function applicationProtocol(): string | undefined;
}

declare module 'waypost:policy/client-certificate@0.1.0' {
  export interface SubjectName {
    tag: 'dns' | 'uri' | 'email' | 'address';
    val: string;
  }
  export function subject(): string | undefined;
  export function names(): SubjectName[];
  export function serialNumber(): string | undefined;
  export function fingerprint(): string | undefined;
  export function expiresMilliseconds(): bigint | undefined;
}

declare module 'waypost:policy/counters@0.1.0' {
  /** Throws `{ payload: string }`. */
  export function define(name: string): number;
  export function add(counter: number, amount: bigint): void;
}

/** `set`, `compareAndSet`, `increment` and `decrement` throw `{ payload: 'key-too-long' | 'value-too-long' | 'no-room' }`. */
declare module 'waypost:policy/store@0.1.0' {
  export function get(key: string): Uint8Array | undefined;
  export function set(key: string, value: Uint8Array, ttlMilliseconds: bigint): void;
  export function remove(key: string): boolean;
  export function compareAndSet(key: string, expected: Uint8Array | undefined, value: Uint8Array, ttlMilliseconds: bigint): boolean;
  export function increment(key: string, by: bigint, ttlMilliseconds: bigint): bigint;
  export function decrement(key: string, by: bigint, ttlMilliseconds: bigint): bigint;
  export function counter(key: string): bigint | undefined;
}
