// Bytes with a length, and text that grows. What is made here is never freed unless it says so: settings and the list of
// backends live as long as an instance, or until the next list.
#ifndef SLICE_H
#define SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *ptr;
    size_t len;
} slice;

// A string literal as a slice.
#define S(literal) ((slice){(const uint8_t *)(literal), sizeof(literal) - 1})

bool slice_equal(slice one, slice other);
// By bytes, as memcmp orders.
int slice_compare(slice one, slice other);
slice slice_copy(slice from);

// Text that grows; all zero is empty.
typedef struct {
    uint8_t *ptr;
    size_t len, room;
} text;

void text_add(text *to, slice part);
void text_add_number(text *to, uint64_t number);
void text_free(text *gone);

// A list of parts as one new text: TEXT(S("a"), name, S("b")).
#define TEXT(...) text_of((slice[]){__VA_ARGS__}, sizeof((slice[]){__VA_ARGS__}) / sizeof(slice))
text text_of(const slice *parts, size_t count);

// Memory, or a trap: there is nothing that a policy could do without.
void *room_for(size_t count, size_t size);

#endif
