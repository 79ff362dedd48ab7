#include "router.h"

// One of those that can be used, at random.
static outcome draw(const targets *named, const facts *host, uint32_t *backend) {
    uint32_t usable = 0;
    for (uint32_t at = 0; at < named->count; at++)
        if (host->usable(host->attempts, named->backends[at])) *backend = named->backends[at], usable++;
    if (usable == 0) return UNUSABLE;
    if (usable == 1) return ROUTED;
    uint32_t chosen = host->below(usable);
    for (uint32_t at = 0; at < named->count; at++) {
        if (!host->usable(host->attempts, named->backends[at])) continue;
        if (chosen-- == 0) {
            *backend = named->backends[at];
            break;
        }
    }
    return ROUTED;
}

// Rendezvous hashing: when a backend goes, only its own values move.
static outcome own(const pool *from, slice value, const facts *host, uint32_t *backend) {
    uint64_t best = 0;
    bool found = false;
    for (uint32_t at = 0; at < from->count; at++) {
        uint64_t score = hash(from->seeds[at], value);
        // The host is asked last, and only about those that would win.
        if ((!found || score > best) && host->usable(host->attempts, at)) found = true, best = score, *backend = at;
    }
    return found ? HASHED : UNUSABLE;
}

outcome pool_route(const pool *from, const settings *wanted, slice value, const facts *host, uint32_t *backend) {
    size_t low = 0, high = wanted->route_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(wanted->routes[middle].value, value);
        if (order == 0) return draw(&from->routes[middle], host, backend);
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return wanted->fallback_hash ? own(from, value, host, backend) : UNMATCHED;
}

// FNV-1a, then mixed so that every bit counts in a comparison.
uint64_t hash(uint64_t seed, slice bytes) {
    uint64_t mixed = 0xcbf29ce484222325 ^ seed;
    for (size_t at = 0; at < bytes.len; at++) mixed = (mixed ^ bytes.ptr[at]) * 0x100000001b3;
    mixed ^= mixed >> 33;
    mixed *= 0xff51afd7ed558ccd;
    return mixed ^ mixed >> 33;
}
