#include "json.h"

#include <string.h>

// Deeper than any settings, and far less than the stack takes.
#define DEEPEST 64

typedef struct {
    const uint8_t *at, *end;
    int depth;
    slice reason;
} reader;

static bool value(reader *in, json *out);

static bool fail(reader *in, slice reason) {
    if (in->reason.len == 0) in->reason = reason;
    return false;
}

static int peek(const reader *in) { return in->at < in->end ? *in->at : -1; }

static void space(reader *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at) != NULL && *in->at != 0) in->at++;
}

static bool take(reader *in, char byte) {
    if (peek(in) != byte) return false;
    in->at++;
    return true;
}

static bool word(reader *in, slice expected) {
    if ((size_t)(in->end - in->at) < expected.len || memcmp(in->at, expected.ptr, expected.len) != 0)
        return fail(in, S("expected a value"));
    in->at += expected.len;
    return true;
}

static bool digits(reader *in) {
    const uint8_t *from = in->at;
    while (peek(in) >= '0' && peek(in) <= '9') in->at++;
    return in->at > from ? true : fail(in, S("a number without digits"));
}

static bool number(reader *in, json *out) {
    const uint8_t *from = in->at;
    take(in, '-');
    if (take(in, '0')) {
        if (peek(in) >= '0' && peek(in) <= '9') return fail(in, S("a number that begins with 0"));
    } else if (!digits(in)) {
        return false;
    }
    if (take(in, '.') && !digits(in)) return false;
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+')) take(in, '-');
        if (!digits(in)) return false;
    }
    out->kind = JSON_NUMBER;
    out->text = (slice){from, in->at - from};
    return true;
}

static bool four_digits(reader *in, uint32_t *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = peek(in);
        int lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') *unit = *unit * 16 + (digit - '0');
        else if (lower >= 'a' && lower <= 'f') *unit = *unit * 16 + (lower - 'a' + 10);
        else return fail(in, S("an escape that is not \\u and four digits"));
        in->at++;
    }
    return true;
}

static void put_utf8(text *out, uint32_t code) {
    uint8_t bytes[4];
    size_t len;
    if (code < 0x80) {
        bytes[0] = code, len = 1;
    } else if (code < 0x800) {
        bytes[0] = 0xc0 | code >> 6, bytes[1] = 0x80 | (code & 0x3f), len = 2;
    } else if (code < 0x10000) {
        bytes[0] = 0xe0 | code >> 12, bytes[1] = 0x80 | (code >> 6 & 0x3f), bytes[2] = 0x80 | (code & 0x3f), len = 3;
    } else {
        bytes[0] = 0xf0 | code >> 18, bytes[1] = 0x80 | (code >> 12 & 0x3f), bytes[2] = 0x80 | (code >> 6 & 0x3f),
        bytes[3] = 0x80 | (code & 0x3f), len = 4;
    }
    text_add(out, (slice){bytes, len});
}

static bool unicode(reader *in, text *out) {
    uint32_t code, low;
    if (!four_digits(in, &code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (!take(in, '\\') || !take(in, 'u') || !four_digits(in, &low) || low < 0xdc00 || low > 0xdfff)
            return fail(in, S("half of a surrogate pair"));
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(in, S("half of a surrogate pair"));
    }
    put_utf8(out, code);
    return true;
}

static bool escape(reader *in, text *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (take(in, 'u')) return unicode(in, out);
    const char *known = peek(in) > 0 ? strchr(from, peek(in)) : NULL;
    if (known == NULL) return fail(in, S("an unknown escape"));
    in->at++;
    text_add(out, (slice){(const uint8_t *)&to[known - from], 1});
    return true;
}

static bool string(reader *in, slice *out) {
    if (!take(in, '"')) return fail(in, S("expected a string"));
    text made = {0};
    while (!take(in, '"')) {
        int byte = peek(in);
        if (byte < 0) return fail(in, S("a string without an end"));
        if (byte < 0x20) return fail(in, S("a control character in a string"));
        in->at++;
        if (byte == '\\') {
            if (!escape(in, &made)) return false;
        } else {
            text_add(&made, (slice){in->at - 1, 1});
        }
    }
    *out = (slice){made.ptr, made.len};
    return true;
}

static bool members(reader *in, json *out, bool keyed, char end) {
    json **next = &out->first;
    in->at++;
    out->kind = keyed ? JSON_TABLE : JSON_LIST;
    space(in);
    if (take(in, end)) return true;
    do {
        json *member = *next = room_for(1, sizeof *member);
        next = &member->next;
        space(in);
        if (keyed) {
            if (!string(in, &member->key)) return false;
            space(in);
            if (!take(in, ':')) return fail(in, S("expected `:`"));
        }
        if (!value(in, member)) return false;
        space(in);
    } while (take(in, ','));
    return take(in, end) ? true : fail(in, S("expected `,` or an end"));
}

static bool value(reader *in, json *out) {
    bool good;
    space(in);
    if (++in->depth > DEEPEST) return fail(in, S("too deep"));
    switch (peek(in)) {
    case '{': good = members(in, out, true, '}'); break;
    case '[': good = members(in, out, false, ']'); break;
    case '"': out->kind = JSON_STRING, good = string(in, &out->text); break;
    case 't': out->kind = JSON_BOOL, good = word(in, S("true")); break;
    case 'f': out->kind = JSON_BOOL, good = word(in, S("false")); break;
    case 'n': out->kind = JSON_NULL, good = word(in, S("null")); break;
    default: good = number(in, out);
    }
    in->depth--;
    return good;
}

json *json_parse(slice text, slice *reason) {
    reader in = {text.ptr, text.ptr + text.len, 0, {0}};
    json *root = room_for(1, sizeof *root);
    bool good = value(&in, root);
    space(&in);
    if (good && in.at < in.end) good = fail(&in, S("something after the end"));
    *reason = in.reason;
    return good ? root : NULL;
}

const json *json_find(const json *table, slice key) {
    const json *found = NULL;
    for (const json *member = table->first; member != NULL; member = member->next)
        if (slice_equal(member->key, key)) found = member;
    return found;
}

bool json_whole(const json *value, uint32_t *number) {
    uint64_t sum = 0;
    if (value->kind != JSON_NUMBER || value->text.len > 10) return false;
    for (size_t at = 0; at < value->text.len; at++) {
        uint8_t digit = value->text.ptr[at];
        if (digit < '0' || digit > '9') return false;
        sum = sum * 10 + (digit - '0');
    }
    *number = (uint32_t)sum;
    return sum <= UINT32_MAX;
}
