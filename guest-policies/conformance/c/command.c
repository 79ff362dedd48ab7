// The request's fields `x-do`, and the commands that any hook does.
#include <stdlib.h>

#include "conformance.h"

slice cut(slice *from, char at) {
    size_t len = 0;
    while (len < from->len && from->ptr[len] != (uint8_t)at) len++;
    slice taken = {from->ptr, len};
    size_t gone = len < from->len ? len + 1 : len;
    *from = (slice){from->ptr + gone, from->len - gone};
    return taken;
}

uint64_t unsigned_of(slice digits) {
    uint64_t sum = 0;
    if (digits.len == 0) abort();
    for (size_t at = 0; at < digits.len; at++) {
        uint8_t digit = digits.ptr[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum)) abort();
    }
    return sum;
}

policy_string_t string_of(slice from) { return (policy_string_t){(uint8_t *)from.ptr, from.len}; }
policy_list_u8_t bytes_of(slice from) { return (policy_list_u8_t){(uint8_t *)from.ptr, from.len}; }

commands commands_of(waypost_policy_types_borrow_request_t request, slice hook) {
    commands all = {0};
    policy_string_t name = string_of(S("x-do"));
    waypost_policy_types_method_request_header_values(request, &name, &all.values);
    all.list = room_for(all.values.len, sizeof *all.list);
    for (size_t at = 0; at < all.values.len; at++) {
        slice line = {all.values.ptr[at].ptr, all.values.ptr[at].len};
        if (!slice_equal(cut(&line, ' '), hook)) continue;
        slice verb = cut(&line, ' ');
        all.list[all.count++] = (command){verb, line};
    }
    return all;
}

void commands_free(commands *gone) {
    free(gone->list);
    policy_list_list_u8_free(&gone->values);
}

void count(slice name, uint64_t amount) {
    uint32_t counter;
    policy_string_t called = string_of(name), error;
    if (!waypost_policy_counters_define(&called, &counter, &error)) abort();
    waypost_policy_counters_add(counter, amount);
}

// All of an answer is freed by the bindings once the host has read it, so nothing in it may be a literal.
static policy_string_t own_string(slice from) {
    slice copy = slice_copy(from);
    return (policy_string_t){(uint8_t *)copy.ptr, copy.len};
}

static void refusal(uint16_t status, slice hook, waypost_policy_types_response_t *out) {
    const struct {
        slice name, value;
    } fields[] = {
        {S("x-refused"), hook}, {S("set-cookie"), S("a=1")}, {S("set-cookie"), S("b=2")}, {S("x-bytes"), S("\xff\x80")}};
    const size_t len = sizeof fields / sizeof *fields;
    text body = TEXT(S("refused by "), hook);
    out->status = status;
    out->headers.ptr = room_for(len, sizeof *out->headers.ptr);
    out->headers.len = len;
    for (size_t at = 0; at < len; at++) {
        slice value = slice_copy(fields[at].value);
        out->headers.ptr[at].f0 = own_string(fields[at].name);
        out->headers.ptr[at].f1 = bytes_of(value);
    }
    out->body = (policy_list_u8_t){body.ptr, body.len};
}

static void write_line(slice level, slice line) {
    static const slice levels[] = {S("debug"), S("info"), S("warn"), S("error")};
    policy_string_t message = string_of(line);
    uint8_t at = 0;
    while (at < 4 && !slice_equal(level, levels[at])) at++;
    if (at == 4) abort();
    waypost_policy_log_write(at, &message);
}

static void exhaust(void) {
    volatile uint8_t *last;
    for (;;) {
        last = room_for(1, 1 << 20);
        *last = 1;
    }
}

void any(const command *one, slice hook, waypost_policy_types_response_t *error, bool *refused) {
    slice rest = one->rest;
    if (slice_equal(one->verb, S("trap"))) {
        __builtin_trap();
    } else if (slice_equal(one->verb, S("loop"))) {
        for (volatile bool forever = true; forever;) continue;
    } else if (slice_equal(one->verb, S("exhaust"))) {
        exhaust();
    } else if (slice_equal(one->verb, S("refuse"))) {
        refusal(unsigned_of(rest), hook, error);
        *refused = true;
    } else if (slice_equal(one->verb, S("count"))) {
        slice name = cut(&rest, ' ');
        count(name, unsigned_of(rest));
    } else if (slice_equal(one->verb, S("log"))) {
        slice level = cut(&rest, ' ');
        write_line(level, rest);
    } else {
        abort();
    }
}
