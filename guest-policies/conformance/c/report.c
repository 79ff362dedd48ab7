// The commands of the hooks that edit header fields.
#include <stdlib.h>

#include "conformance.h"

typedef struct {
    waypost_policy_types_borrow_request_t request;
    waypost_policy_types_borrow_headers_t headers;
    slice answer;
} context;

static void hex(text *out, const uint8_t *bytes, size_t len) {
    static const uint8_t digits[] = "0123456789abcdef";
    for (size_t at = 0; at < len; at++)
        text_add(out, (slice){(uint8_t[]){digits[bytes[at] >> 4], digits[bytes[at] & 15]}, 2});
}

static void optional(text *out, bool there, policy_list_u8_t *value) {
    if (!there) {
        text_add(out, S("none"));
        return;
    }
    hex(out, value->ptr, value->len);
    policy_list_u8_free(value);
}

static void all(text *out, policy_list_list_u8_t *values) {
    if (values->len == 0) text_add(out, S("none"));
    for (size_t at = 0; at < values->len; at++) {
        if (at > 0) text_add(out, S(","));
        hex(out, values->ptr[at].ptr, values->ptr[at].len);
    }
    policy_list_list_u8_free(values);
}

static void names(text *out, policy_list_string_t *listed) {
    for (size_t at = 0; at < listed->len; at++) {
        if (at > 0) text_add(out, S(","));
        text_add(out, (slice){listed->ptr[at].ptr, listed->ptr[at].len});
    }
    policy_list_string_free(listed);
}

static void add_bool(text *out, bool value) { text_add(out, value ? S("true") : S("false")); }

static void add_signed(text *out, int64_t value) {
    if (value < 0) text_add(out, S("-"));
    // The lowest number has no counterpart; unsigned arithmetic has no overflow.
    text_add_number(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static int64_t signed_of(slice digits) {
    if (digits.len > 0 && digits.ptr[0] == '-') return (int64_t)(0 - unsigned_of((slice){digits.ptr + 1, digits.len - 1}));
    return (int64_t)unsigned_of(digits);
}

static slice edit_error(waypost_policy_types_header_error_t error) {
    static const slice known[] = {S("invalid-name"), S("invalid-value"), S("forbidden"), S("too-many")};
    return known[error];
}

static slice store_error(waypost_policy_store_store_error_t error) {
    static const slice known[] = {S("key-too-long"), S("value-too-long"), S("no-room")};
    return known[error];
}

static bool edits(text *out, const command *one, waypost_policy_types_borrow_headers_t headers) {
    slice rest = one->rest;
    waypost_policy_types_header_error_t error = 0;
    bool done;
    policy_string_t name = string_of(cut(&rest, ' '));
    policy_list_u8_t value = bytes_of(rest);
    if (slice_equal(one->verb, S("set"))) done = waypost_policy_types_method_headers_set(headers, &name, &value, &error);
    else if (slice_equal(one->verb, S("append"))) done = waypost_policy_types_method_headers_append(headers, &name, &value, &error);
    else if (slice_equal(one->verb, S("remove"))) done = waypost_policy_types_method_headers_remove(headers, &name, &error);
    else return false;
    text_add(out, done ? S("ok") : edit_error(error));
    return true;
}

static bool reads(text *out, const command *one, const context *here) {
    policy_string_t name = string_of(one->rest);
    policy_list_u8_t value;
    policy_list_list_u8_t values;
    policy_list_string_t listed;
    if (slice_equal(one->verb, S("first"))) {
        bool there = waypost_policy_types_method_headers_first(here->headers, &name, &value);
        optional(out, there, &value);
    } else if (slice_equal(one->verb, S("values"))) {
        waypost_policy_types_method_headers_values(here->headers, &name, &values);
        all(out, &values);
    } else if (slice_equal(one->verb, S("names"))) {
        waypost_policy_types_method_headers_names(here->headers, &listed);
        names(out, &listed);
    } else if (slice_equal(one->verb, S("request-first"))) {
        bool there = waypost_policy_types_method_request_header(here->request, &name, &value);
        optional(out, there, &value);
    } else if (slice_equal(one->verb, S("request-values"))) {
        waypost_policy_types_method_request_header_values(here->request, &name, &values);
        all(out, &values);
    } else if (slice_equal(one->verb, S("request-names"))) {
        waypost_policy_types_method_request_header_names(here->request, &listed);
        names(out, &listed);
    } else {
        return false;
    }
    return true;
}

static void read_string(text *out, waypost_policy_types_borrow_request_t request,
    void (*read)(waypost_policy_types_borrow_request_t, policy_string_t *)) {
    policy_string_t string;
    read(request, &string);
    text_add(out, (slice){string.ptr, string.len});
    text_add(out, S(" "));
    policy_string_free(&string);
}

static void echo(text *out, waypost_policy_types_borrow_request_t request) {
    policy_string_t query;
    read_string(out, request, waypost_policy_types_method_request_method);
    read_string(out, request, waypost_policy_types_method_request_scheme);
    read_string(out, request, waypost_policy_types_method_request_host);
    read_string(out, request, waypost_policy_types_method_request_path);
    if (waypost_policy_types_method_request_query(request, &query)) {
        text_add(out, S("?"));
        text_add(out, (slice){query.ptr, query.len});
        policy_string_free(&query);
    } else {
        text_add(out, S("none"));
    }
    text_add(out, S(" "));
    read_string(out, request, waypost_policy_types_method_request_client_address);
    out->len--; // The last space.
}

static void topology(text *out, const told *known) {
    if (known == NULL) abort();
    text_add(out, (slice){known->pool.name.ptr, known->pool.name.len});
    text_add(out, S(" "));
    text_add_number(out, known->generation);
    for (size_t at = 0; at < known->backends.len; at++) {
        const exports_waypost_policy_topology_backend_t *one = &known->backends.ptr[at];
        text_add(out, S(" "));
        text_add(out, (slice){one->address.ptr, one->address.len});
        text_add(out, S("/"));
        text_add_number(out, one->weight);
        for (size_t label = 0; label < one->labels.len; label++) {
            const policy_tuple2_string_string_t *pair = &one->labels.ptr[label];
            text_add(out, S("/"));
            text_add(out, (slice){pair->f0.ptr, pair->f0.len});
            text_add(out, S("="));
            text_add(out, (slice){pair->f1.ptr, pair->f1.len});
        }
    }
}

static void facts(text *out, uint32_t backend) {
    text_add_number(out, waypost_policy_backend_facts_in_flight(backend));
    text_add(out, S(" "));
    text_add_number(out, waypost_policy_backend_facts_latency_microseconds(backend));
    text_add(out, S(" "));
    add_bool(out, waypost_policy_backend_facts_healthy(backend));
    text_add(out, S(" "));
    text_add_number(out, waypost_policy_backend_facts_consecutive_failures(backend));
}

static void state(text *out, uint32_t backend) {
    static const slice states[] = {S("healthy "), S("degraded "), S("ejected "), S("draining "), S("down ")};
    text_add(out, states[waypost_policy_backend_facts_state(backend)]);
    text_add_number(out, waypost_policy_backend_facts_in_flight_of_all(backend));
}

// One part of what is told, and the space before the next.
static void part(text *out, bool there, policy_string_t *string) {
    if (there) {
        text_add(out, (slice){string->ptr, string->len});
        policy_string_free(string);
    } else {
        text_add(out, S("none"));
    }
    text_add(out, S(" "));
}

static void connection(text *out) {
    static const slice protocols[] = {S("http10 "), S("http11 "), S("http2 ")};
    static const slice versions[] = {S("tls12 "), S("tls13 ")};
    waypost_policy_connection_tls_version_t version;
    policy_string_t string;
    text_add(out, protocols[waypost_policy_connection_protocol()]);
    text_add(out, waypost_policy_connection_tls(&version) ? versions[version] : S("none "));
    part(out, waypost_policy_connection_cipher_suite(&string), &string);
    part(out, waypost_policy_connection_server_name(&string), &string);
    part(out, waypost_policy_connection_application_protocol(&string), &string);
    out->len--; // The last space.
}

static void certificate(text *out) {
    static const slice kinds[] = {S("dns:"), S("uri:"), S("email:"), S("address:")};
    waypost_policy_client_certificate_list_subject_name_t listed;
    policy_string_t string;
    uint64_t expires;
    part(out, waypost_policy_client_certificate_serial_number(&string), &string);
    part(out, waypost_policy_client_certificate_fingerprint(&string), &string);
    if (waypost_policy_client_certificate_expires_milliseconds(&expires)) text_add_number(out, expires);
    else text_add(out, S("none"));
    text_add(out, S(" "));
    waypost_policy_client_certificate_names(&listed);
    if (listed.len == 0) text_add(out, S("none"));
    for (size_t at = 0; at < listed.len; at++) {
        if (at > 0) text_add(out, S(","));
        text_add(out, kinds[listed.ptr[at].tag]);
        // All kinds have text in the same place.
        text_add(out, (slice){listed.ptr[at].val.dns.ptr, listed.ptr[at].val.dns.len});
    }
    waypost_policy_client_certificate_list_subject_name_free(&listed);
    text_add(out, S(" "));
    part(out, waypost_policy_client_certificate_subject(&string), &string);
    out->len--; // The last space.
}

static void define(text *out, slice name) {
    policy_string_t called = string_of(name), error;
    uint32_t counter;
    if (waypost_policy_counters_define(&called, &counter, &error)) {
        text_add(out, S("ok"));
        return;
    }
    text_add(out, (slice){error.ptr, error.len});
    policy_string_free(&error);
}

static bool tells(text *out, const command *one, const context *here) {
    if (slice_equal(one->verb, S("echo"))) {
        echo(out, here->request);
    } else if (slice_equal(one->verb, S("answer"))) {
        text_add(out, here->answer);
    } else if (slice_equal(one->verb, S("greeting"))) {
        hex(out, greeting().ptr, greeting().len);
    } else if (slice_equal(one->verb, S("topology"))) {
        topology(out, pool_told(waypost_policy_types_method_request_pool(here->request)));
    } else if (slice_equal(one->verb, S("facts"))) {
        facts(out, unsigned_of(one->rest));
    } else if (slice_equal(one->verb, S("state"))) {
        state(out, unsigned_of(one->rest));
    } else if (slice_equal(one->verb, S("queues"))) {
        text_add_number(out, waypost_policy_backend_facts_queued(unsigned_of(one->rest)));
        text_add(out, S(" "));
        text_add_number(out, waypost_policy_backend_facts_queued_in_pool());
    } else if (slice_equal(one->verb, S("time-left"))) {
        uint64_t left;
        if (waypost_policy_attempts_milliseconds_left(&left)) text_add_number(out, left);
        else text_add(out, S("none"));
    } else if (slice_equal(one->verb, S("connection"))) {
        connection(out);
    } else if (slice_equal(one->verb, S("certificate"))) {
        certificate(out);
    } else if (slice_equal(one->verb, S("random"))) {
        text_add_number(out, waypost_policy_random_below(unsigned_of(one->rest)));
        text_add(out, S(" "));
        text_add_number(out, waypost_policy_random_bits());
    } else if (slice_equal(one->verb, S("clock"))) {
        text_add_number(out, waypost_policy_clock_monotonic_nanoseconds());
        text_add(out, S(" "));
        text_add_number(out, waypost_policy_clock_unix_milliseconds());
    } else if (slice_equal(one->verb, S("calls"))) {
        text_add_number(out, calls);
    } else if (slice_equal(one->verb, S("define"))) {
        define(out, one->rest);
    } else {
        return false;
    }
    return true;
}

static void swap(text *out, policy_string_t *key, slice rest) {
    uint64_t ttl = unsigned_of(cut(&rest, ' '));
    slice expected = cut(&rest, ' ');
    policy_list_u8_t before = bytes_of(expected), value = bytes_of(rest);
    waypost_policy_store_store_error_t error;
    bool swapped;
    // An option that is none is a null pointer.
    policy_list_u8_t *maybe = slice_equal(expected, S("-")) ? NULL : &before;
    if (waypost_policy_store_compare_and_set(key, maybe, &value, ttl, &swapped, &error)) add_bool(out, swapped);
    else text_add(out, store_error(error));
}

static bool stores(text *out, const command *one) {
    slice rest = one->rest;
    policy_string_t key = string_of(cut(&rest, ' '));
    waypost_policy_store_store_error_t error;
    policy_list_u8_t value;
    int64_t number;
    if (slice_equal(one->verb, S("store-get"))) {
        bool there = waypost_policy_store_get(&key, &value);
        optional(out, there, &value);
    } else if (slice_equal(one->verb, S("store-set"))) {
        uint64_t ttl = unsigned_of(cut(&rest, ' '));
        value = bytes_of(rest);
        text_add(out, waypost_policy_store_set(&key, &value, ttl, &error) ? S("ok") : store_error(error));
    } else if (slice_equal(one->verb, S("store-remove"))) {
        add_bool(out, waypost_policy_store_remove(&key));
    } else if (slice_equal(one->verb, S("store-swap"))) {
        swap(out, &key, rest);
    } else if (slice_equal(one->verb, S("store-add"))) {
        uint64_t ttl = unsigned_of(cut(&rest, ' '));
        if (waypost_policy_store_increment(&key, signed_of(rest), ttl, &number, &error)) add_signed(out, number);
        else text_add(out, store_error(error));
    } else if (slice_equal(one->verb, S("store-sub"))) {
        uint64_t ttl = unsigned_of(cut(&rest, ' '));
        if (waypost_policy_store_decrement(&key, unsigned_of(rest), ttl, &number, &error)) add_signed(out, number);
        else text_add(out, store_error(error));
    } else if (slice_equal(one->verb, S("store-counter"))) {
        if (waypost_policy_store_counter(&key, &number)) add_signed(out, number);
        else text_add(out, S("none"));
    } else {
        return false;
    }
    return true;
}

// Appends fields until one is refused.
static void many(uint64_t wanted, waypost_policy_types_borrow_headers_t headers) {
    static const slice counters[] = {S("invalid_name"), S("invalid_value"), S("forbidden"), S("too_many")};
    for (uint64_t at = 0; at < wanted; at++) {
        text number = {0};
        text_add_number(&number, at);
        policy_string_t name = string_of(S("x-many"));
        policy_list_u8_t value = {number.ptr, number.len};
        waypost_policy_types_header_error_t error;
        bool done = waypost_policy_types_method_headers_append(headers, &name, &value, &error);
        text_free(&number);
        if (!done) {
            count(counters[error], 1);
            return;
        }
    }
}

bool edit(waypost_policy_types_borrow_request_t request, waypost_policy_types_borrow_headers_t headers, slice hook,
    slice answer, waypost_policy_types_response_t *error) {
    const context here = {request, headers, answer};
    commands list = commands_of(request, hook);
    bool refused = false;
    calls++;
    for (size_t at = 0; at < list.count; at++) {
        const command *one = &list.list[at];
        text out = {0};
        if (edits(&out, one, headers) || reads(&out, one, &here) || tells(&out, one, &here) || stores(&out, one)) {
            policy_string_t name = string_of(S("x-did"));
            policy_list_u8_t value = {out.ptr, out.len};
            waypost_policy_types_header_error_t ignored;
            // A refused edit shows as a field that is missing.
            waypost_policy_types_method_headers_append(headers, &name, &value, &ignored);
            text_free(&out);
        } else if (slice_equal(one->verb, S("many"))) {
            many(unsigned_of(one->rest), headers);
        } else {
            any(one, hook, error, &refused);
        }
    }
    commands_free(&list);
    return !refused;
}
