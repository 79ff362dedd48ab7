// The hooks: the contract on one side, `settings` and `router` on the other.
//
// What the host passes in (strings, lists) belongs to the policy, which frees it with the function that `policy.h` has for
// its type. A hook that returns a `result` returns true and fills in what it answers, or false and fills in the error.
#include <stdlib.h>

#include "policy.h"
#include "router.h"
#include "settings.h"

static settings wanted;
static uint32_t counters[OUTCOMES];
static pool *pools;
static size_t pool_count;

static slice from_string(policy_string_t string) { return (slice){string.ptr, string.len}; }
static slice from_bytes(policy_list_u8_t bytes) { return (slice){bytes.ptr, bytes.len}; }
// The host only reads what it is passed.
static policy_string_t to_string(slice from) { return (policy_string_t){(uint8_t *)from.ptr, from.len}; }
static policy_list_u8_t to_bytes(slice from) { return (policy_list_u8_t){(uint8_t *)from.ptr, from.len}; }

static void warn(text *line) {
    policy_string_t message = {line->ptr, line->len};
    waypost_policy_log_write(WAYPOST_POLICY_LOG_LEVEL_WARN, &message);
    text_free(line);
}

bool exports_waypost_policy_configuration_configure(policy_string_t *given, policy_string_t *error) {
    static const slice names[OUTCOMES] = {S("routed"), S("hashed"), S("unmatched"), S("unusable")};
    text reason = {0};
    if (!settings_parse(from_string(*given), &wanted, &reason)) {
        *error = (policy_string_t){reason.ptr, reason.len};
        return false;
    }
    for (int at = 0; at < OUTCOMES; at++) {
        policy_string_t name = to_string(names[at]);
        if (!waypost_policy_counters_define(&name, &counters[at], error)) return false;
    }
    return true;
}

static bool is_named(const exports_waypost_policy_topology_backend_t *backend, slice target) {
    if (slice_equal(from_string(backend->address), target)) return true;
    for (size_t at = 0; at < backend->labels.len; at++) {
        policy_tuple2_string_string_t label = backend->labels.ptr[at];
        // The first label of this name counts.
        if (slice_equal(from_string(label.f0), S("name"))) return slice_equal(from_string(label.f1), target);
    }
    return false;
}

static pool pool_of(uint32_t id, const exports_waypost_policy_topology_list_backend_t *backends) {
    pool made = {.id = id, .count = backends->len};
    made.seeds = room_for(made.count, sizeof *made.seeds);
    for (uint32_t at = 0; at < made.count; at++) made.seeds[at] = hash(0, from_string(backends->ptr[at].address));
    made.routes = room_for(wanted.route_count, sizeof *made.routes);
    for (size_t route = 0; route < wanted.route_count; route++) {
        targets *named = &made.routes[route];
        named->backends = room_for(made.count, sizeof *named->backends);
        for (uint32_t at = 0; at < made.count; at++)
            if (is_named(&backends->ptr[at], wanted.routes[route].target)) named->backends[named->count++] = at;
    }
    return made;
}

static void pool_free(pool *gone) {
    for (size_t route = 0; route < wanted.route_count; route++) free(gone->routes[route].backends);
    free(gone->routes);
    free(gone->seeds);
}

static pool *pool_find(uint32_t id) {
    for (size_t at = 0; at < pool_count; at++)
        if (pools[at].id == id) return &pools[at];
    return NULL;
}

void exports_waypost_policy_topology_backends_changed(exports_waypost_policy_topology_pool_t *told,
    uint64_t generation, exports_waypost_policy_topology_list_backend_t *backends) {
    (void)generation;
    pool made = pool_of(told->id, backends);
    for (size_t at = 0; at < wanted.route_count; at++) {
        if (made.routes[at].count > 0) continue;
        text line = TEXT(S("routes."), wanted.routes[at].value, S(": pool "), from_string(told->name),
            S(" has no backend with the address or the name "), wanted.routes[at].target);
        warn(&line);
    }
    pool *known = pool_find(told->id);
    if (known != NULL) {
        pool_free(known);
    } else {
        pools = realloc(pools, (pool_count + 1) * sizeof *pools);
        if (pools == NULL) abort();
        known = &pools[pool_count++];
    }
    *known = made;
    exports_waypost_policy_topology_pool_free(told);
    exports_waypost_policy_topology_list_backend_free(backends);
}

static bool usable(const void *attempts, uint32_t backend) {
    const waypost_policy_attempts_list_failed_attempt_t *failed = attempts;
    for (size_t at = 0; at < failed->len; at++)
        if (failed->ptr[at].backend == backend) return false;
    return waypost_policy_backend_facts_healthy(backend);
}

bool exports_waypost_policy_selection_select(exports_waypost_policy_selection_borrow_request_t request, uint32_t id,
    uint32_t attempt, policy_option_u32_t *choice, exports_waypost_policy_selection_response_t *error) {
    (void)error;
    waypost_policy_attempts_list_failed_attempt_t failed = {0};
    policy_string_t name = to_string(wanted.header);
    policy_list_u8_t value;
    const pool *from = pool_find(id);
    outcome came = UNMATCHED;
    if (waypost_policy_types_method_request_header(request, &name, &value)) {
        // The first attempt is nearly every request: it costs no call.
        if (attempt > 1) waypost_policy_attempts_failed(&failed);
        facts host = {waypost_policy_random_below, usable, &failed};
        if (from != NULL) came = pool_route(from, &wanted, from_bytes(value), &host, &choice->val);
        policy_list_u8_free(&value);
        waypost_policy_attempts_list_failed_attempt_free(&failed);
    }
    choice->is_some = came == ROUTED || came == HASHED;
    waypost_policy_counters_add(counters[came], 1);
    return true;
}

static void tell(slice name, bool done, waypost_policy_types_header_error_t error) {
    static const slice reasons[] = {S("invalid-name"), S("invalid-value"), S("forbidden"), S("too-many")};
    // The settings were checked, so this is about the message: it names the field in `connection`, or there is too much.
    if (done) return;
    text line = TEXT(name, S(" was not written: "), reasons[error]);
    warn(&line);
}

static void edit(const edits *wanted, waypost_policy_types_borrow_headers_t headers) {
    waypost_policy_types_header_error_t error = 0;
    for (size_t at = 0; at < wanted->removes; at++) {
        policy_string_t name = to_string(wanted->remove[at]);
        tell(wanted->remove[at], waypost_policy_types_method_headers_remove(headers, &name, &error), error);
    }
    for (size_t at = 0; at < wanted->sets; at++) {
        policy_string_t name = to_string(wanted->set[at].name);
        policy_list_u8_t value = to_bytes(wanted->set[at].value);
        tell(wanted->set[at].name, waypost_policy_types_method_headers_set(headers, &name, &value, &error), error);
    }
    for (size_t at = 0; at < wanted->appends; at++) {
        policy_string_t name = to_string(wanted->append[at].name);
        policy_list_u8_t value = to_bytes(wanted->append[at].value);
        tell(wanted->append[at].name, waypost_policy_types_method_headers_append(headers, &name, &value, &error), error);
    }
}

bool exports_waypost_policy_request_headers_edit_request(
    exports_waypost_policy_request_headers_borrow_request_t request,
    exports_waypost_policy_request_headers_borrow_headers_t headers,
    exports_waypost_policy_request_headers_response_t *error) {
    (void)request, (void)error;
    edit(&wanted.request, headers);
    return true;
}

bool exports_waypost_policy_response_headers_edit_response(
    exports_waypost_policy_response_headers_borrow_request_t request, uint16_t status, uint32_t backend,
    exports_waypost_policy_response_headers_borrow_headers_t headers,
    exports_waypost_policy_response_headers_response_t *error) {
    (void)request, (void)status, (void)backend, (void)error;
    edit(&wanted.response, headers);
    return true;
}
