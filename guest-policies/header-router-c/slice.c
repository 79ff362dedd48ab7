#include "slice.h"

#include <stdlib.h>
#include <string.h>

bool slice_equal(slice one, slice other) {
    return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

int slice_compare(slice one, slice other) {
    int order = memcmp(one.ptr, other.ptr, one.len < other.len ? one.len : other.len);
    if (order != 0) return order;
    return (one.len > other.len) - (one.len < other.len);
}

slice slice_copy(slice from) {
    uint8_t *copy = room_for(from.len, 1);
    memcpy(copy, from.ptr, from.len);
    return (slice){copy, from.len};
}

void text_add(text *to, slice part) {
    if (part.len > to->room - to->len) {
        size_t room = (to->len + part.len) * 2;
        to->ptr = realloc(to->ptr, room);
        if (to->ptr == NULL) abort();
        to->room = room;
    }
    if (part.len > 0) memcpy(to->ptr + to->len, part.ptr, part.len);
    to->len += part.len;
}

void text_add_number(text *to, uint64_t number) {
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = '0' + number % 10;
        number /= 10;
    } while (number > 0);
    text_add(to, (slice){digits + at, sizeof digits - at});
}

void text_free(text *gone) {
    free(gone->ptr);
    *gone = (text){0};
}

text text_of(const slice *parts, size_t count) {
    text made = {0};
    for (size_t at = 0; at < count; at++) text_add(&made, parts[at]);
    return made;
}

void *room_for(size_t count, size_t size) {
    // A length of 0 is no reason for a null pointer.
    void *room = calloc(count > 0 ? count : 1, size);
    if (room == NULL) abort();
    return room;
}
