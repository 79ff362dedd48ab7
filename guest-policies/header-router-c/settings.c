#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

// What the contract keeps for the host; told here, so that the mistake shows when the policy is loaded.
static const char *const host_fields[] = {"connection", "content-length", "expect", "host", "keep-alive",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"};

#define FAIL(...) (*error = TEXT(__VA_ARGS__), false)

static bool is_string(const json *value, slice key, text *error) {
    return value->kind == JSON_STRING || FAIL(key, S(": has to be a string"));
}

static bool is_table(const json *value, slice key, text *error) {
    return value->kind == JSON_TABLE || FAIL(key, S(": has to be a table"));
}

// All members of `table` are among the known keys.
static bool only(const json *table, slice prefix, const slice *known, size_t count, text *error) {
    for (const json *member = table->first; member != NULL; member = member->next) {
        size_t at = 0;
        while (at < count && !slice_equal(known[at], member->key)) at++;
        if (at < count) continue;
        *error = TEXT(prefix, member->key, S(": unknown key; there are "));
        for (at = 0; at < count; at++) {
            if (at > 0) text_add(error, S(", "));
            text_add(error, known[at]);
        }
        return false;
    }
    return true;
}

static bool is_token(uint8_t byte) {
    uint8_t lower = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'z') ||
        (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool field_name(slice given, slice key, slice *out, text *error) {
    bool good = given.len > 0 && given.len <= 256;
    for (size_t at = 0; good && at < given.len; at++) good = is_token(given.ptr[at]);
    if (!good) return FAIL(key, S(": \""), given, S("\" is not a field name"));
    uint8_t *lower = room_for(given.len, 1);
    for (size_t at = 0; at < given.len; at++)
        lower[at] = given.ptr[at] >= 'A' && given.ptr[at] <= 'Z' ? given.ptr[at] | 0x20 : given.ptr[at];
    *out = (slice){lower, given.len};
    return true;
}

static bool writable(slice given, slice key, slice *out, text *error) {
    if (!field_name(given, key, out, error)) return false;
    for (size_t at = 0; at < sizeof host_fields / sizeof *host_fields; at++)
        if (out->len == strlen(host_fields[at]) && memcmp(out->ptr, host_fields[at], out->len) == 0)
            return FAIL(key, S(": \""), *out, S("\" belongs to the proxy, a policy can't write it"));
    return true;
}

// Control characters are those below space, DEL, and U+0080 to U+009F.
static bool has_control(slice value) {
    for (size_t at = 0; at < value.len; at++) {
        uint8_t byte = value.ptr[at];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return true;
        if (byte == 0xc2 && at + 1 < value.len && value.ptr[at + 1] < 0xa0) return true;
    }
    return false;
}

static size_t count_of(const json *parent) {
    size_t count = 0;
    for (const json *member = parent->first; member != NULL; member = member->next) count++;
    return count;
}

// Names and values of a table, as `fields` and `routes` want them.
static bool pairs(const json *value, slice key, field **out, size_t *count, text *error) {
    if (value == NULL) return true;
    if (!is_table(value, key, error)) return false;
    *out = room_for(count_of(value), sizeof **out);
    for (const json *member = value->first; member != NULL; member = member->next) {
        if (member != json_find(value, member->key)) continue;
        text path = TEXT(key, S("."), member->key);
        if (!is_string(member, (slice){path.ptr, path.len}, error)) return false;
        (*out)[(*count)++] = (field){member->key, member->text};
    }
    return true;
}

static int by_value(const void *one, const void *other) {
    return slice_compare(((const route *)one)->value, ((const route *)other)->value);
}

static bool routes(const json *value, settings *out, text *error) {
    field *given = NULL;
    if (!pairs(value, S("routes"), &given, &out->route_count, error)) return false;
    out->routes = room_for(out->route_count, sizeof *out->routes);
    for (size_t at = 0; at < out->route_count; at++) {
        if (given[at].value.len == 0)
            return FAIL(S("routes."), given[at].name, S(": is empty; give an address or the name label of a backend"));
        out->routes[at] = (route){given[at].name, given[at].value};
    }
    qsort(out->routes, out->route_count, sizeof *out->routes, by_value);
    return true;
}

static bool fields(const json *value, slice key, field **out, size_t *count, text *error) {
    if (!pairs(value, key, out, count, error)) return false;
    for (size_t at = 0; at < *count; at++) {
        field *one = &(*out)[at];
        slice name = one->name;
        if (!writable(name, key, &one->name, error)) return false;
        if (has_control(one->value)) return FAIL(key, S("."), name, S(": a field value has no control characters"));
    }
    return true;
}

static bool names(const json *value, slice key, slice **out, size_t *count, text *error) {
    if (value == NULL) return true;
    if (value->kind != JSON_LIST) return FAIL(key, S(": has to be a list of field names"));
    *out = room_for(count_of(value), sizeof **out);
    for (const json *name = value->first; name != NULL; name = name->next)
        if (!is_string(name, key, error) || !writable(name->text, key, &(*out)[(*count)++], error)) return false;
    return true;
}

static slice below(slice key, slice name) {
    text path = TEXT(key, S("."), name);
    return (slice){path.ptr, path.len};
}

static bool edits_of(const json *value, slice key, edits *out, text *error) {
    static const slice known[] = {S("set"), S("append"), S("remove")};
    if (value == NULL) return true;
    return is_table(value, key, error) && only(value, below(key, S("")), known, 3, error) &&
        names(json_find(value, S("remove")), below(key, S("remove")), &out->remove, &out->removes, error) &&
        fields(json_find(value, S("set")), below(key, S("set")), &out->set, &out->sets, error) &&
        fields(json_find(value, S("append")), below(key, S("append")), &out->append, &out->appends, error);
}

static bool fallback(const json *value, bool *hash, text *error) {
    if (value == NULL) return true;
    if (!is_string(value, S("fallback"), error)) return false;
    *hash = slice_equal(value->text, S("hash"));
    return *hash || slice_equal(value->text, S("none")) ||
        FAIL(S("fallback: \""), value->text, S("\" is neither \"none\" nor \"hash\""));
}

bool settings_parse(slice given, settings *out, text *error) {
    static const slice known[] = {S("header"), S("routes"), S("fallback"), S("request"), S("response")};
    slice reason;
    *out = (settings){0};
    const json *root = json_parse(given, &reason);
    if (root == NULL) return FAIL(S("settings: not JSON: "), reason);
    if (!is_table(root, S("settings"), error) || !only(root, S(""), known, 5, error)) return false;
    const json *header = json_find(root, S("header"));
    if (header == NULL) return FAIL(S("header: missing; name the field that chooses the backend"));
    return is_string(header, S("header"), error) && field_name(header->text, S("header"), &out->header, error) &&
        routes(json_find(root, S("routes")), out, error) &&
        fallback(json_find(root, S("fallback")), &out->fallback_hash, error) &&
        edits_of(json_find(root, S("request")), S("request"), &out->request, error) &&
        edits_of(json_find(root, S("response")), S("response"), &out->response, error);
}
