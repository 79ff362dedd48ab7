// Fails as the field `x-do` says; tests/integration/conformance/built.rs holds what is then shown against what is here.
const ways = {
  throw: () => {
    throw new TypeError('the reason');
  },
  'a property of nothing': () => undefined.weight,
  text: () => {
    throw 'the reason';
  },
  long: () => {
    throw new Error('the head ' + 'x'.repeat(20_000) + ' the tail');
  },
};

export const selection = {
  select(request, pool, attempt) {
    const wanted = new TextDecoder().decode(request.header('x-do') ?? new Uint8Array());
    return ways[wanted]?.();
  },
};
