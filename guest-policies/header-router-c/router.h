// Which backend a value of the field stands for.
#ifndef ROUTER_H
#define ROUTER_H

#include "settings.h"

// The backends that one route names, by index.
typedef struct {
    uint32_t *backends;
    uint32_t count;
} targets;

typedef struct {
    uint32_t id;
    targets *routes; // As many as the settings have.
    uint64_t *seeds; // One for each backend, of its address alone, so that it stays when the list changes.
    uint32_t count;
} pool;

typedef enum { ROUTED, HASHED, UNMATCHED, UNUSABLE, OUTCOMES } outcome;

// What the host tells about a request.
typedef struct {
    uint32_t (*below)(uint32_t bound);
    // Neither set aside for failing nor tried in vain for this request.
    bool (*usable)(const void *attempts, uint32_t backend);
    const void *attempts;
} facts;

outcome pool_route(const pool *from, const settings *wanted, slice value, const facts *host, uint32_t *backend);
// Rendezvous hashing wants a number for each pair of backend and value.
uint64_t hash(uint64_t seed, slice bytes);

#endif
