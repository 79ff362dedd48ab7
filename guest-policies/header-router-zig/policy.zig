//! A header field names the backend, and fields are set and removed on the way in and out.

const std = @import("std");
const waypost = @import("waypost");
const router = @import("router.zig");
const settings_file = @import("settings.zig");
const gpa = std.heap.wasm_allocator;

comptime {
    waypost.hooks(@This());
}

var settings: settings_file.Settings = .{};
var counters: struct { routed: u32, hashed: u32, unmatched: u32, unusable: u32 } = undefined;
var pools: std.AutoHashMapUnmanaged(u32, router.Pool) = .empty;

pub fn configure(text: []const u8) ?[]const u8 {
    settings = switch (settings_file.parse(text)) {
        .settings => |given| given,
        .reason => |reason| return reason,
    };
    inline for (.{ "routed", "hashed", "unmatched", "unusable" }) |name| {
        switch (waypost.counters.define(name)) {
            .counter => |counter| @field(counters, name) = counter,
            .reason => |reason| return reason,
        }
    }
    return null;
}

pub fn backendsChanged(pool: waypost.Pool, _: u64, backends: []const waypost.Backend) void {
    const ready = router.Pool.init(&settings, backends) catch @panic("no memory");
    for (ready.targets, settings.routes) |target, wanted| {
        if (target.len > 0) continue;
        const line = "routes.{s}: pool {s} has no backend with the address or the name {s}";
        waypost.log.print(.warn, line, .{ wanted.name, pool.name, wanted.value });
    }
    const known = pools.fetchPut(gpa, pool.id, ready) catch @panic("no memory");
    if (known) |former| former.value.deinit();
}

pub fn select(request: waypost.Request, pool: u32, attempt: u32) waypost.Answer(?u32) {
    const counter, const choice = switch (decide(request, pool, attempt)) {
        .routed => |backend| .{ counters.routed, backend },
        .hashed => |backend| .{ counters.hashed, backend },
        .unmatched => .{ counters.unmatched, null },
        .unusable => .{ counters.unusable, null },
    };
    waypost.counters.add(counter, 1);
    return .{ .ok = choice };
}

fn decide(request: waypost.Request, id: u32, attempt: u32) router.Outcome {
    const value = request.header(settings.header) orelse return .unmatched;
    const pool = pools.getPtr(id) orelse return .unmatched;
    // The first attempt is nearly every request: it costs no call.
    const host: Host = .{ .failed = if (attempt > 1) waypost.attempts.failed() else &.{} };
    return pool.route(&settings, value, host);
}

const Host = struct {
    failed: []const waypost.attempts.Failed,

    pub fn below(_: Host, bound: u32) u32 {
        return waypost.random.below(bound);
    }
    pub fn usable(self: Host, backend: u32) bool {
        for (self.failed) |attempt| if (attempt.backend == backend) return false;
        return waypost.backend_facts.healthy(backend);
    }
};

pub fn editRequest(_: waypost.Request, headers: waypost.Headers) waypost.Answer(void) {
    return edit(settings.request, headers);
}

pub fn editResponse(_: waypost.Request, _: u16, _: u32, headers: waypost.Headers) waypost.Answer(void) {
    return edit(settings.response, headers);
}

fn edit(edits: settings_file.Edits, headers: waypost.Headers) waypost.Answer(void) {
    for (edits.remove) |name| headers.remove(name) catch |fault| tell(name, fault);
    for (edits.set) |field| headers.set(field.name, field.value) catch |fault| tell(field.name, fault);
    for (edits.append) |field| headers.append(field.name, field.value) catch |fault| tell(field.name, fault);
    return .{ .ok = {} };
}

/// The settings were checked, so this is about the message: it names the field in `connection`, or there is too much.
fn tell(name: []const u8, fault: waypost.HeaderError) void {
    const reason = switch (fault) {
        error.InvalidName => "invalid-name",
        error.InvalidValue => "invalid-value",
        error.Forbidden => "forbidden",
        error.TooMany => "too-many",
    };
    waypost.log.print(.warn, "{s} was not written: {s}", .{ name, reason });
}
