#include "settings.h"

#include <stdbool.h>
#include <string.h>

// What has not been read yet.
typedef struct {
    const char *at, *end;
} input;

static void skip_space(input *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at) != NULL && *in->at != 0) in->at++;
}

static bool take(input *in, char wanted) {
    skip_space(in);
    if (in->at >= in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

// A string in quotation marks, up to the second one.
static bool take_string(input *in, const char **text, size_t *length) {
    if (!take(in, '"')) return false;
    *text = in->at;
    while (in->at < in->end && *in->at != '"' && *in->at != '\\') in->at++;
    *length = (size_t)(in->at - *text);
    return take(in, '"');
}

const char *read_settings(const char *json, size_t length, policy_string_t *header) {
    input in = {json, json + length};
    const char *key, *value;
    size_t key_length, value_length;
    if (!take(&in, '{')) return "settings: have to be a table";
    if (take(&in, '}')) return "header: is missing; write the name of a field";
    if (!take_string(&in, &key, &key_length) || !take(&in, ':')) return "settings: not JSON";
    if (key_length != 6 || memcmp(key, "header", 6) != 0) return "settings: there is no other key than header";
    if (!take_string(&in, &value, &value_length)) return "header: has to be the name of a field";
    if (!take(&in, '}')) return "settings: there is no other key than header";
    policy_string_dup_n(header, value, value_length);
    return NULL;
}
