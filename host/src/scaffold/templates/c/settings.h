// The policy's settings: JSON text with one key, such as {"header": "x-canary"}. The name of a field needs no escapes, so none are read.
#include <stddef.h>

#include "bindings/policy.h"

// Keeps a copy of the name in `header`. Returns what is wrong, or NULL.
const char *read_settings(const char *json, size_t length, policy_string_t *header);
