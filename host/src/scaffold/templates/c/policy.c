// Requests with a field such as `x-canary: yes` go to the backends with the label `track` = `canary`, all others to the rest.
//
// What the host passes in (strings, lists) belongs to the policy, which frees it with the function that bindings/policy.h has for
// its type. A hook that returns a `result` returns true and fills in what it answers, or false and fills in the error.
#include <stdlib.h>
#include <string.h>

#include "bindings/policy.h"
#include "settings.h"

enum track { STABLE, CANARY, TRACKS };

typedef struct {
    uint32_t id;
    uint32_t *backends[TRACKS];
    uint32_t count[TRACKS];
} pool;

static policy_string_t header;
static uint32_t taken;
static pool *pools;
static size_t pool_count;

static bool is(policy_string_t string, const char *text) {
    return string.len == strlen(text) && memcmp(string.ptr, text, string.len) == 0;
}

bool exports_waypost_policy_configuration_configure(policy_string_t *settings, policy_string_t *error) {
    const char *reason = read_settings((const char *)settings->ptr, settings->len, &header);
    policy_string_free(settings);
    if (reason != NULL) {
        policy_string_dup(error, reason);
        return false;
    }
    policy_string_t name;
    policy_string_set(&name, "canary");
    return waypost_policy_counters_define(&name, &taken, error);
}

static bool is_canary(const exports_waypost_policy_topology_backend_t *backend) {
    for (size_t at = 0; at < backend->labels.len; at++)
        if (is(backend->labels.ptr[at].f0, "track")) return is(backend->labels.ptr[at].f1, "canary");
    return false;
}

static pool *pool_of(uint32_t id) {
    for (size_t at = 0; at < pool_count; at++)
        if (pools[at].id == id) return &pools[at];
    return NULL;
}

void exports_waypost_policy_topology_backends_changed(exports_waypost_policy_topology_pool_t *told,
    uint64_t generation, exports_waypost_policy_topology_list_backend_t *backends) {
    (void)generation;
    pool *known = pool_of(told->id);
    if (known == NULL) {
        pools = realloc(pools, (pool_count + 1) * sizeof *pools);
        if (pools == NULL) abort();
        known = &pools[pool_count++];
    } else {
        for (int track = 0; track < TRACKS; track++) free(known->backends[track]);
    }
    *known = (pool){.id = told->id};
    for (int track = 0; track < TRACKS; track++) {
        known->backends[track] = calloc(backends->len + 1, sizeof(uint32_t));
        if (known->backends[track] == NULL) abort();
    }
    for (uint32_t at = 0; at < backends->len; at++) {
        int track = is_canary(&backends->ptr[at]) ? CANARY : STABLE;
        known->backends[track][known->count[track]++] = at;
    }
    exports_waypost_policy_topology_pool_free(told);
    exports_waypost_policy_topology_list_backend_free(backends);
}

static bool wants_canary(exports_waypost_policy_selection_borrow_request_t request) {
    policy_list_u8_t value;
    if (!waypost_policy_types_method_request_header(request, &header, &value)) return false;
    bool yes = value.len == 3 && memcmp(value.ptr, "yes", 3) == 0;
    policy_list_u8_free(&value);
    return yes;
}

static bool is_usable(uint32_t backend, const waypost_policy_attempts_list_failed_attempt_t *failed) {
    for (size_t at = 0; at < failed->len; at++)
        if (failed->ptr[at].backend == backend) return false;
    return waypost_policy_backend_facts_healthy(backend);
}

bool exports_waypost_policy_selection_select(exports_waypost_policy_selection_borrow_request_t request, uint32_t id,
    uint32_t attempt, policy_option_u32_t *choice, exports_waypost_policy_selection_response_t *error) {
    (void)error;
    // No choice is the contract's `none`: the proxy chooses.
    choice->is_some = false;
    const pool *from = pool_of(id);
    if (from == NULL) return true;
    bool canary = wants_canary(request);
    int track = canary ? CANARY : STABLE;
    // The first attempt is nearly every request: it has nothing to ask about.
    waypost_policy_attempts_list_failed_attempt_t failed = {0};
    if (attempt > 1) waypost_policy_attempts_failed(&failed);
    // Each usable backend takes the place of the one chosen before with a chance that leaves all of them equally likely.
    uint32_t seen = 0;
    for (uint32_t at = 0; at < from->count[track]; at++) {
        uint32_t backend = from->backends[track][at];
        if (!is_usable(backend, &failed)) continue;
        if (waypost_policy_random_below(++seen) == 0) choice->val = backend;
    }
    choice->is_some = seen > 0;
    if (canary && choice->is_some) waypost_policy_counters_add(taken, 1);
    if (attempt > 1) waypost_policy_attempts_list_failed_attempt_free(&failed);
    return true;
}
