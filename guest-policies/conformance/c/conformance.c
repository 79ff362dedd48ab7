// The `conformance` policy in C; `../SPEC.md` says what it does.
#include "conformance.h"

#include <stdlib.h>

#include "../../header-router-c/json.h"

static struct {
    slice greeting;
    bool has_pick;
    uint32_t pick;
} settings;

uint64_t calls;
told *pools;
size_t pool_count;

static bool refuse_settings(policy_string_t *error, const slice *parts, size_t count) {
    text reason = text_of(parts, count);
    *error = (policy_string_t){reason.ptr, reason.len};
    return false;
}
#define REFUSE(...) refuse_settings(error, (slice[]){__VA_ARGS__}, sizeof((slice[]){__VA_ARGS__}) / sizeof(slice))

bool exports_waypost_policy_configuration_configure(policy_string_t *given, policy_string_t *error) {
    slice reason, refuse = {0};
    bool refused = false;
    json *root = json_parse((slice){given->ptr, given->len}, &reason);
    if (root == NULL) return REFUSE(S("settings: not JSON: "), reason);
    if (root->kind != JSON_TABLE) return REFUSE(S("settings: has to be a table"));
    for (const json *one = root->first; one != NULL; one = one->next) {
        bool is_greeting = slice_equal(one->key, S("greeting"));
        if (is_greeting || slice_equal(one->key, S("refuse"))) {
            if (one->kind != JSON_STRING) return REFUSE(one->key, S(": has to be a string"));
            if (is_greeting) settings.greeting = one->text;
            else refuse = one->text, refused = true;
        } else if (slice_equal(one->key, S("pick"))) {
            settings.has_pick = json_whole(one, &settings.pick);
            if (!settings.has_pick) return REFUSE(S("pick: has to be a whole number"));
        } else {
            return REFUSE(one->key, S(": unknown key"));
        }
    }
    if (refused) return REFUSE(refuse);
    count(S("configured"), 1);
    return true;
}

slice greeting(void) { return settings.greeting; }

void exports_waypost_policy_topology_backends_changed(exports_waypost_policy_topology_pool_t *pool,
    uint64_t generation, exports_waypost_policy_topology_list_backend_t *backends) {
    told *known = pool_told(pool->id);
    if (known == NULL) {
        pools = realloc(pools, (pool_count + 1) * sizeof *pools);
        if (pools == NULL) abort();
        known = &pools[pool_count++];
    } else {
        exports_waypost_policy_topology_pool_free(&known->pool);
        exports_waypost_policy_topology_list_backend_free(&known->backends);
    }
    *known = (told){*pool, generation, *backends};
}

told *pool_told(uint32_t id) {
    for (size_t at = 0; at < pool_count; at++)
        if (pools[at].pool.id == id) return &pools[at];
    return NULL;
}

static policy_option_u64_t range_end(slice number) {
    if (number.len == 0) return (policy_option_u64_t){0};
    return (policy_option_u64_t){true, unsigned_of(number)};
}

static void ranges(slice list, exports_waypost_policy_range_list_byte_range_t *out) {
    // No more than one for each character.
    out->ptr = room_for(list.len, sizeof *out->ptr);
    out->len = 0;
    while (list.len > 0) {
        slice one = cut(&list, ',');
        slice first = cut(&one, '-');
        out->ptr[out->len++] = (exports_waypost_policy_range_byte_range_t){range_end(first), range_end(one)};
    }
}

bool exports_waypost_policy_range_check(exports_waypost_policy_range_borrow_request_t request,
    exports_waypost_policy_range_option_list_byte_range_t *answer, exports_waypost_policy_range_response_t *error) {
    commands all = commands_of(request, S("range"));
    bool refused = false;
    calls++;
    // The bindings don't.
    *answer = (exports_waypost_policy_range_option_list_byte_range_t){0};
    for (size_t at = 0; at < all.count; at++) {
        command *one = &all.list[at];
        if (slice_equal(one->verb, S("ignore"))) {
            // Without elements nothing is freed, but the host wants an address that there is.
            static exports_waypost_policy_range_byte_range_t nothing;
            *answer = (exports_waypost_policy_range_option_list_byte_range_t){true, {&nothing, 0}};
        } else if (slice_equal(one->verb, S("ranges"))) {
            answer->is_some = true;
            ranges(one->rest, &answer->val);
        } else {
            any(one, S("range"), error, &refused);
        }
    }
    commands_free(&all);
    return !refused;
}

static void pick_nth(slice list, uint32_t attempt, policy_option_u32_t *choice) {
    while (--attempt > 0 && list.len > 0) cut(&list, ',');
    choice->is_some = list.len > 0;
    if (choice->is_some) choice->val = unsigned_of(cut(&list, ','));
}

// The attempts that failed, each after a space.
static void add_failed(text *out) {
    static const slice names[] = {S("connect"), S("connect-timeout"), S("closed"), S("other")};
    waypost_policy_attempts_list_failed_attempt_t failed;
    waypost_policy_attempts_failed(&failed);
    for (size_t at = 0; at < failed.len; at++) {
        text_add(out, S(" "));
        text_add_number(out, failed.ptr[at].backend);
        text_add(out, S(":"));
        text_add(out, names[failed.ptr[at].failure]);
    }
    waypost_policy_attempts_list_failed_attempt_free(&failed);
}

static void tell(uint32_t attempt, waypost_policy_types_response_t *out) {
    text body = {0};
    text_add_number(&body, attempt);
    add_failed(&body);
    *out = (waypost_policy_types_response_t){.status = 200, .body = {body.ptr, body.len}};
}

bool exports_waypost_policy_selection_select(exports_waypost_policy_selection_borrow_request_t request, uint32_t pool,
    uint32_t attempt, policy_option_u32_t *choice, exports_waypost_policy_selection_response_t *error) {
    commands all = commands_of(request, S("select"));
    bool refused = false;
    (void)pool;
    calls++;
    *choice = (policy_option_u32_t){settings.has_pick, settings.pick};
    for (size_t at = 0; at < all.count; at++) {
        command *one = &all.list[at];
        if (slice_equal(one->verb, S("pick"))) {
            *choice = (policy_option_u32_t){true, unsigned_of(one->rest)};
        } else if (slice_equal(one->verb, S("none"))) {
            choice->is_some = false;
        } else if (slice_equal(one->verb, S("picks"))) {
            pick_nth(one->rest, attempt, choice);
        } else if (slice_equal(one->verb, S("tell"))) {
            if (unsigned_of(one->rest) == attempt) tell(attempt, error), refused = true;
        } else {
            any(one, S("select"), error, &refused);
        }
    }
    commands_free(&all);
    return !refused;
}

bool exports_waypost_policy_request_headers_edit_request(
    exports_waypost_policy_request_headers_borrow_request_t request,
    exports_waypost_policy_request_headers_borrow_headers_t headers,
    exports_waypost_policy_request_headers_response_t *error) {
    return edit(request, headers, S("request"), S("none"), error);
}

bool exports_waypost_policy_response_headers_edit_response(
    exports_waypost_policy_response_headers_borrow_request_t request, uint16_t status, uint32_t backend,
    exports_waypost_policy_response_headers_borrow_headers_t headers,
    exports_waypost_policy_response_headers_response_t *error) {
    text answer = {0};
    text_add_number(&answer, status);
    text_add(&answer, S(" "));
    text_add_number(&answer, backend);
    bool passed = edit(request, headers, S("response"), (slice){answer.ptr, answer.len}, error);
    text_free(&answer);
    return passed;
}

static void add_part(text *out, bool there, uint64_t number) {
    text_add(out, S(" "));
    if (there) text_add_number(out, number);
    else text_add(out, S("none"));
}

static void heard(const exports_waypost_policy_completion_outcome_t *outcome) {
    static const slice failures[] = {S("client"), S("policy"), S("refused"), S("backend"), S("timeout"), S("cancelled")};
    text line = {0};
    text_add(&line, S("heard"));
    add_part(&line, true, outcome->pool);
    add_part(&line, outcome->backend.is_some, outcome->backend.val);
    add_part(&line, outcome->status.is_some, outcome->status.val);
    text_add(&line, S(" "));
    text_add(&line, outcome->failure.is_some ? failures[outcome->failure.val] : S("none"));
    add_part(&line, true, outcome->attempts);
    add_part(&line, outcome->first_byte_microseconds.is_some, outcome->first_byte_microseconds.val);
    add_part(&line, outcome->latency_microseconds.is_some, outcome->latency_microseconds.val);
    add_part(&line, true, outcome->duration_microseconds);
    add_part(&line, true, outcome->request_bytes);
    add_part(&line, true, outcome->response_bytes);
    add_failed(&line);
    policy_string_t message = string_of((slice){line.ptr, line.len});
    waypost_policy_log_write(WAYPOST_POLICY_LOG_LEVEL_INFO, &message);
    text_free(&line);
}

void exports_waypost_policy_completion_completed(exports_waypost_policy_completion_borrow_request_t request,
    exports_waypost_policy_completion_outcome_t *outcome) {
    commands all = commands_of(request, S("completed"));
    // There is nothing to refuse any more.
    waypost_policy_types_response_t unused = {0};
    bool refused = false;
    for (size_t at = 0; at < all.count; at++) {
        command *one = &all.list[at];
        if (slice_equal(one->verb, S("tell"))) heard(outcome);
        else any(one, S("completed"), &unused, &refused);
    }
    commands_free(&all);
}
