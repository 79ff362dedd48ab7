//! Requests with a field such as `x-canary: yes` go to the backends with the label `track` = `canary`, all others to the rest.

const std = @import("std");
const waypost = @import("waypost");
const settings = @import("settings.zig");
/// For what stays: what a hook is given is freed when the host has read its answer.
const gpa = std.heap.wasm_allocator;

comptime {
    waypost.hooks(@This());
}

/// The message of a panic goes to the policy's log, and the proxy quotes it beside the fault.
pub const panic = std.debug.FullPanic(waypost.panicked);

/// The indices of a pool's backends.
const Tracks = struct { stable: []u32, canary: []u32 };

var header: []const u8 = "";
var taken: u32 = 0;
var pools: std.AutoHashMapUnmanaged(u32, Tracks) = .empty;

/// What is returned refuses the settings: the operator reads it, and nothing that runs changes.
pub fn configure(text: []const u8) ?[]const u8 {
    header = switch (settings.parse(text)) {
        .header => |name| name,
        .reason => |reason| return reason,
    };
    taken = switch (waypost.counters.define("canary")) {
        .counter => |counter| counter,
        .reason => |reason| return reason,
    };
    return null;
}

pub fn backendsChanged(pool: waypost.Pool, _: u64, backends: []const waypost.Backend) void {
    const tracks = split(backends) catch @panic("no memory");
    const former = pools.fetchPut(gpa, pool.id, tracks) catch @panic("no memory");
    if (former) |known| {
        gpa.free(known.value.stable);
        gpa.free(known.value.canary);
    }
}

fn split(backends: []const waypost.Backend) !Tracks {
    var stable: std.ArrayList(u32) = .empty;
    var canary: std.ArrayList(u32) = .empty;
    for (backends, 0..) |backend, at| {
        try (if (isCanary(backend)) &canary else &stable).append(gpa, @intCast(at));
    }
    return .{ .stable = try stable.toOwnedSlice(gpa), .canary = try canary.toOwnedSlice(gpa) };
}

fn isCanary(backend: waypost.Backend) bool {
    for (backend.labels.slice()) |label| {
        if (std.mem.eql(u8, label.key.slice(), "track")) return std.mem.eql(u8, label.value.slice(), "canary");
    }
    return false;
}

/// Null is the contract's `none`: the proxy chooses.
pub fn select(request: waypost.Request, pool: u32, attempt: u32) waypost.Answer(?u32) {
    const tracks = pools.get(pool) orelse return .{ .ok = null };
    const canary = std.mem.eql(u8, request.header(header) orelse "", "yes");
    // The first attempt is nearly every request: it has nothing to ask about.
    const failed: []const waypost.attempts.Failed = if (attempt > 1) waypost.attempts.failed() else &.{};
    const chosen = draw(if (canary) tracks.canary else tracks.stable, failed) orelse return .{ .ok = null };
    if (canary) waypost.counters.add(taken, 1);
    return .{ .ok = chosen };
}

/// One of those that can be used: each takes the place of the one drawn before with a chance that leaves all equally likely.
fn draw(backends: []const u32, failed: []const waypost.attempts.Failed) ?u32 {
    var drawn: ?u32 = null;
    var seen: u32 = 0;
    for (backends) |backend| {
        if (!isUsable(backend, failed)) continue;
        seen += 1;
        if (waypost.random.below(seen) == 0) drawn = backend;
    }
    return drawn;
}

fn isUsable(backend: u32, failed: []const waypost.attempts.Failed) bool {
    for (failed) |past| if (past.backend == backend) return false;
    return waypost.backend_facts.healthy(backend);
}
