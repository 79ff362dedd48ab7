// A strict reader of JSON (RFC 8259) for settings: text to a tree.
#ifndef JSON_H
#define JSON_H

#include "slice.h"

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_TABLE } json_kind;

typedef struct json {
    json_kind kind;
    slice key;          // In a table.
    slice text;         // Of a string what it says, of a number its digits.
    struct json *first; // Of a list or a table.
    struct json *next;
} json;

// NULL if the text is not JSON; `reason` then says why.
json *json_parse(slice text, slice *reason);
// The last value of this key, as other parsers have it; NULL if there is none.
const json *json_find(const json *table, slice key);
// Whether it is a whole number of 32 bits.
bool json_whole(const json *value, uint32_t *number);

#endif
