// What the hooks, the commands of any hook and those of the header hooks share.
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "policy.h"
#include "../../header-router-c/slice.h"

typedef struct {
    slice verb, rest;
} command;

// The commands for a hook; `values` holds their bytes.
typedef struct {
    command *list;
    size_t count;
    policy_list_list_u8_t values;
} commands;

typedef struct {
    exports_waypost_policy_topology_pool_t pool;
    uint64_t generation;
    exports_waypost_policy_topology_list_backend_t backends;
} told;

extern uint64_t calls;

commands commands_of(waypost_policy_types_borrow_request_t request, slice hook);
void commands_free(commands *gone);

// Does a command of any hook, or traps if it is none.
void any(const command *one, slice hook, waypost_policy_types_response_t *error, bool *refused);
void count(slice name, uint64_t amount);

// The commands of a header hook; false if one of them refuses.
bool edit(waypost_policy_types_borrow_request_t request, waypost_policy_types_borrow_headers_t headers, slice hook,
    slice answer, waypost_policy_types_response_t *error);

slice greeting(void);
told *pool_told(uint32_t id);

// Takes what is before the first `at` away, and the `at` with it; all of it if there is none.
slice cut(slice *from, char at);
// Traps if it is none.
uint64_t unsigned_of(slice digits);

policy_string_t string_of(slice from);
policy_list_u8_t bytes_of(slice from);

#endif
