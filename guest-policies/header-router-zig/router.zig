//! Which backend a value of the field stands for.

const std = @import("std");
const Settings = @import("settings.zig").Settings;
const Pair = @import("settings.zig").Pair;
const gpa = std.heap.wasm_allocator;

pub const Outcome = union(enum) {
    /// A route names this backend.
    routed: u32,
    /// No route has the value; this backend is the value's own.
    hashed: u32,
    /// No route has the value.
    unmatched,
    /// A route has the value, but no backend that it names can be used now.
    unusable,
};

/// The backends of one pool, ready to be looked up.
pub const Pool = struct {
    /// For each route of the settings, the backends that it names.
    targets: [][]u32,
    /// One number for each backend, from its address alone, so that it stays the same when the list changes.
    seeds: []u64,

    /// `backends` are as the topology tells them.
    pub fn init(settings: *const Settings, backends: anytype) !Pool {
        const targets = try gpa.alloc([]u32, settings.routes.len);
        for (targets, settings.routes) |*target, wanted| {
            var named: std.ArrayList(u32) = .empty;
            for (backends, 0..) |backend, at| {
                if (isNamed(backend, wanted.value)) try named.append(gpa, @intCast(at));
            }
            target.* = try named.toOwnedSlice(gpa);
        }
        const seeds = try gpa.alloc(u64, backends.len);
        for (seeds, backends) |*seed, backend| seed.* = hash(0, backend.address.slice());
        return .{ .targets = targets, .seeds = seeds };
    }

    pub fn deinit(self: Pool) void {
        for (self.targets) |target| gpa.free(target);
        gpa.free(self.targets);
        gpa.free(self.seeds);
    }

    /// The backend for a value of the field. `host` tells what is random and what can be used.
    pub fn route(self: *const Pool, settings: *const Settings, value: []const u8, host: anytype) Outcome {
        if (std.sort.binarySearch(Pair, settings.routes, value, byName)) |at|
            return if (draw(self.targets[at], host)) |backend| .{ .routed = backend } else .unusable;
        return switch (settings.fallback) {
            .none => .unmatched,
            .hash => if (self.own(value, host)) |backend| .{ .hashed = backend } else .unusable,
        };
    }

    fn byName(value: []const u8, pair: Pair) std.math.Order {
        return std.mem.order(u8, value, pair.name);
    }

    /// Rendezvous hashing: when a backend goes, only its own values move.
    fn own(self: *const Pool, value: []const u8, host: anytype) ?u32 {
        var best: ?struct { score: u64, backend: u32 } = null;
        for (self.seeds, 0..) |seed, at| {
            const score = hash(seed, value);
            const backend: u32 = @intCast(at);
            // The host is asked last, and only about those that would win.
            if ((best == null or score > best.?.score) and host.usable(backend))
                best = .{ .score = score, .backend = backend };
        }
        return if (best) |found| found.backend else null;
    }
};

fn isNamed(backend: anytype, target: []const u8) bool {
    if (std.mem.eql(u8, backend.address.slice(), target)) return true;
    // The first label of this name counts.
    for (backend.labels.slice()) |label| {
        if (std.mem.eql(u8, label.key.slice(), "name")) return std.mem.eql(u8, label.value.slice(), target);
    }
    return false;
}

/// One of those that can be used, at random.
fn draw(named: []const u32, host: anytype) ?u32 {
    var count: u32 = 0;
    var last: ?u32 = null;
    for (named) |backend| if (host.usable(backend)) {
        count += 1;
        last = backend;
    };
    if (count < 2) return last;
    var at = host.below(count);
    for (named) |backend| if (host.usable(backend)) {
        if (at == 0) return backend;
        at -= 1;
    };
    return last;
}

/// FNV-1a, then mixed so that every bit counts in a comparison.
fn hash(seed: u64, bytes: []const u8) u64 {
    var mixed = 0xcbf29ce484222325 ^ seed;
    for (bytes) |byte| mixed = (mixed ^ byte) *% 0x100000001b3;
    mixed ^= mixed >> 33;
    mixed *%= 0xff51afd7ed558ccd;
    return mixed ^ mixed >> 33;
}
