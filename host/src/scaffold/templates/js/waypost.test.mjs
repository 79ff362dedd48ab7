// Tests of waypost.js, natively: `node --test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cookie, hashOf, Networks, part, rendezvous } from './waypost.js';

const bytes = (text) => Uint8Array.from(Buffer.from(text, 'latin1'));

test('a cookie is found by its whole name', () => {
  for (const [field, expected] of [
    [undefined, undefined],
    ['', undefined],
    ['a=1', '1'],
    ['b=2; a=1; a=3', '1'],
    ['b=2;a="1"', '1'],
    ['aa=1; xa=2; A=3; a; x=a=1', undefined],
    ['a="', '"'],
    [';;; ;a=b=c;', 'b=c'],
    ['a=\xff', '\xff'],
  ]) {
    const found = cookie(field === undefined ? undefined : bytes(field), 'a');
    assert.deepEqual(found, expected === undefined ? undefined : bytes(expected), field);
  }
});

test('the longest network counts', () => {
  const networks = new Networks({
    '0.0.0.0/0': 'any',
    '10.7.0.0/16': 'wide',
    '10.7.8.0/24': 'narrow',
    '2001:db8::/32': 'six',
    '10.7.8.9': 'one',
  });
  for (const [address, expected] of [
    ['192.0.2.1', 'any'],
    ['10.7.1.1', 'wide'],
    ['10.7.8.1', 'narrow'],
    ['::ffff:10.7.8.1', 'narrow'],
    ['::ffff:a07:801', 'narrow'],
    ['10.7.8.9', 'one'],
    ['2001:db8:1::', 'six'],
    ['2001:db9::', undefined],
    ['2001:db8:1:2:3:4:5:6:7', undefined],
    ['2001:db8::1::2', undefined],
    ['10.7.8.256', undefined],
    ['unix', undefined],
  ]) {
    assert.equal(networks.longest(address), expected, address);
  }
  for (const wrong of [
    '',
    '192.0.2.0/33',
    '192.0.2.0/',
    '192.0.2.0/8/8',
    '192.0.2.1/24',
    'example.com/8',
    '2001:db8::/129',
  ]) {
    assert.throws(() => new Networks({ [wrong]: 1 }), /is no network/, wrong);
  }
});

test('hashes are those of other languages', () => {
  assert.equal(hashOf(''), 0xf52a15e9a9b5e89bn);
  assert.equal(hashOf('10.0.0.1:80', 7n), 0x19626b873f54b46en);
  assert.equal(part('tenant-1', 1000), 510);
  const seeds = [0, 1, 2, 3].map((n) => [n, hashOf(`10.0.0.${n}:80`), 1 + (n % 2)]);
  const chosen = [...Array(12).keys()].map((n) => rendezvous(`key-${n}`, seeds));
  assert.deepEqual(chosen, [0, 2, 3, 1, 1, 0, 0, 1, 3, 3, 2, 0]);
  assert.equal(hashOf('Zürich'), hashOf(new TextEncoder().encode('Zürich')));
});

test('only the keys of a backend that goes move', () => {
  const seeds = [0, 1, 2, 3, 4].map((n) => [n, hashOf(`10.0.0.${n}:80`), 1]);
  for (let key = 0; key < 500; key++) {
    const home = rendezvous(`${key}`, seeds);
    const left = rendezvous(
      `${key}`,
      seeds.filter(([n]) => n !== 2),
    );
    assert.ok(home === 2 ? left !== 2 : left === home);
  }
  assert.equal(rendezvous('key', []), undefined);
});
