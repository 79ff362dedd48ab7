// The hooks that say where a request goes.
#include <stdlib.h>

#include "conformance.h"

// What the operator calls a pool.
static void add_name(text *out, uint32_t id) {
    const told *known = pool_told(id);
    if (known == NULL) text_add_number(out, id);
    else text_add(out, (slice){known->pool.name.ptr, known->pool.name.len});
}

static void add_pools(text *out, waypost_policy_types_borrow_request_t request) {
    policy_list_u32_t pools;
    add_name(out, waypost_policy_types_method_request_pool(request));
    text_add(out, S(" "));
    waypost_policy_types_method_request_pools(request, &pools);
    if (pools.len == 0) text_add(out, S("none"));
    for (size_t at = 0; at < pools.len; at++) {
        if (at > 0) text_add(out, S(","));
        add_name(out, pools.ptr[at]);
    }
    policy_list_u32_free(&pools);
}

static policy_option_u32_t index_of(waypost_policy_types_borrow_request_t request, slice name) {
    policy_option_u32_t found = {0};
    policy_list_u32_t pools;
    waypost_policy_types_method_request_pools(request, &pools);
    for (size_t at = 0; at < pools.len && !found.is_some; at++) {
        text own = {0};
        add_name(&own, pools.ptr[at]);
        if (slice_equal((slice){own.ptr, own.len}, name)) found = (policy_option_u32_t){true, at};
        text_free(&own);
    }
    policy_list_u32_free(&pools);
    return found;
}

// The answer of `route` and `decide`; `before` is what is told before the pools.
static bool pool(waypost_policy_types_borrow_request_t request, slice hook, slice before, policy_option_u32_t *choice,
    waypost_policy_types_response_t *error) {
    commands all = commands_of(request, hook);
    bool refused = false;
    calls++;
    *choice = (policy_option_u32_t){0};
    for (size_t at = 0; at < all.count; at++) {
        command *one = &all.list[at];
        if (slice_equal(one->verb, S("pool"))) {
            *choice = index_of(request, one->rest);
        } else if (slice_equal(one->verb, S("index"))) {
            *choice = (policy_option_u32_t){true, unsigned_of(one->rest)};
        } else if (slice_equal(one->verb, S("none"))) {
            choice->is_some = false;
        } else if (slice_equal(one->verb, S("tell"))) {
            text body = TEXT(before);
            add_pools(&body, request);
            *error = (waypost_policy_types_response_t){.status = 403, .body = {body.ptr, body.len}};
            refused = true;
        } else {
            any(one, hook, error, &refused);
        }
    }
    commands_free(&all);
    return !refused;
}

bool exports_waypost_policy_routing_route(exports_waypost_policy_routing_borrow_request_t request,
    policy_option_u32_t *choice, exports_waypost_policy_routing_response_t *error) {
    return pool(request, S("route"), S(""), choice, error);
}

bool exports_waypost_policy_destination_decide(exports_waypost_policy_destination_borrow_request_t request,
    uint16_t port, policy_string_t *user, policy_option_u32_t *choice,
    exports_waypost_policy_destination_response_t *error) {
    policy_string_t host;
    waypost_policy_types_method_request_host(request, &host);
    text before = TEXT((slice){host.ptr, host.len}, S(" "));
    policy_string_free(&host);
    text_add_number(&before, port);
    text_add(&before, S(" "));
    // An option that is none is a null pointer.
    text_add(&before, user == NULL ? S("none") : (slice){user->ptr, user->len});
    text_add(&before, S(" "));
    if (user != NULL) policy_string_free(user);
    bool decided = pool(request, S("decide"), (slice){before.ptr, before.len}, choice, error);
    text_free(&before);
    return decided;
}

static void add_target(text *out, waypost_policy_types_borrow_target_t target) {
    policy_string_t part;
    waypost_policy_types_method_target_path(target, &part);
    text_add(out, (slice){part.ptr, part.len});
    policy_string_free(&part);
    if (waypost_policy_types_method_target_query(target, &part)) {
        text_add(out, S(" ?"));
        text_add(out, (slice){part.ptr, part.len});
        policy_string_free(&part);
    } else {
        text_add(out, S(" none"));
    }
    text_add(out, S(" "));
    waypost_policy_types_method_target_host(target, &part);
    text_add(out, (slice){part.ptr, part.len});
    policy_string_free(&part);
}

// An edit, and what came of it; false if the command is none.
static bool edits(const command *one, waypost_policy_types_borrow_target_t target, text *outcomes) {
    static const slice errors[] = {S(" not-allowed"), S(" invalid"), S(" too-many")};
    waypost_policy_types_target_error_t error = 0;
    policy_string_t value = string_of(one->rest);
    bool done;
    if (slice_equal(one->verb, S("path"))) done = waypost_policy_types_method_target_set_path(target, &value, &error);
    else if (slice_equal(one->verb, S("query"))) done = waypost_policy_types_method_target_set_query(target, &value, &error);
    else if (slice_equal(one->verb, S("no-query"))) done = waypost_policy_types_method_target_set_query(target, NULL, &error);
    else if (slice_equal(one->verb, S("host"))) done = waypost_policy_types_method_target_set_host(target, &value, &error);
    else return false;
    text_add(outcomes, done ? S(" ok") : errors[error]);
    return true;
}

bool exports_waypost_policy_request_target_edit_target(
    exports_waypost_policy_request_target_borrow_request_t request,
    exports_waypost_policy_request_target_borrow_target_t target,
    exports_waypost_policy_request_target_response_t *error) {
    commands all = commands_of(request, S("target"));
    text outcomes = {0};
    bool refused = false;
    calls++;
    for (size_t at = 0; at < all.count; at++) {
        command *one = &all.list[at];
        if (edits(one, target, &outcomes)) continue;
        if (slice_equal(one->verb, S("tell"))) {
            text body = {0};
            add_target(&body, target);
            text_add(&body, (slice){outcomes.ptr, outcomes.len});
            *error = (waypost_policy_types_response_t){.status = 200, .body = {body.ptr, body.len}};
            refused = true;
        } else {
            any(one, S("target"), error, &refused);
        }
    }
    text_free(&outcomes);
    commands_free(&all);
    return !refused;
}

void exports_waypost_policy_local_response_edit_local_response(
    exports_waypost_policy_local_response_borrow_request_t request, uint16_t status,
    exports_waypost_policy_local_response_source_t source,
    exports_waypost_policy_local_response_borrow_headers_t headers) {
    static const slice sources[] = {S(" proxy"), S(" policy")};
    // There is nothing to refuse.
    waypost_policy_types_response_t unused = {0};
    text answer = {0};
    text_add_number(&answer, status);
    text_add(&answer, sources[source]);
    edit(request, headers, S("local"), (slice){answer.ptr, answer.len}, &unused);
    waypost_policy_types_response_free(&unused);
    text_free(&answer);
}
