// The operator's settings: JSON text to meaning. Every error names its key.
#ifndef SETTINGS_H
#define SETTINGS_H

#include "slice.h"

typedef struct {
    slice value, target;
} route;

typedef struct {
    slice name, value;
} field;

// Made in this order.
typedef struct {
    slice *remove;
    field *set, *append;
    size_t removes, sets, appends;
} edits;

typedef struct {
    slice header;
    route *routes; // Sorted by value.
    size_t route_count;
    bool fallback_hash;
    edits request, response;
} settings;

// Whether the JSON is right; `error` says what is not.
bool settings_parse(slice given, settings *out, text *error);

#endif
