//! The `conformance` policy in Zig; `../SPEC.md` says what it does.

const std = @import("std");
const waypost = @import("waypost");
const command = @import("command.zig");
const report = @import("report.zig");
const ways = @import("ways.zig");
const Value = std.json.Value;
const gpa = std.heap.wasm_allocator;

comptime {
    waypost.hooks(@This());
}

/// So that it can be seen why a command trapped.
pub const panic = std.debug.FullPanic(waypost.panicked);

pub var greeting: []const u8 = "";
var pick: ?u32 = null;
pub var calls: u64 = 0;
/// What `backends-changed` told, as the command `topology` tells it.
pub var pools: std.AutoHashMapUnmanaged(u32, []const u8) = .empty;

pub const route = ways.route;
pub const decide = ways.decide;
pub const editTarget = ways.editTarget;

pub fn configure(text: []const u8) ?[]const u8 {
    const root = std.json.parseFromSliceLeaky(Value, gpa, text, .{ .allocate = .alloc_always }) catch |fault|
        return command.format("settings: not JSON: {s}", .{@errorName(fault)});
    const table = switch (root) {
        .object => |members| members,
        else => return "settings: has to be a table",
    };
    var refuse: ?[]const u8 = null;
    for (table.keys(), table.values()) |key, value| {
        if (std.mem.eql(u8, key, "greeting")) {
            greeting = if (value == .string) value.string else return "greeting: has to be a string";
        } else if (std.mem.eql(u8, key, "refuse")) {
            refuse = if (value == .string) value.string else return "refuse: has to be a string";
        } else if (std.mem.eql(u8, key, "pick")) {
            const number = if (value == .integer) value.integer else return "pick: has to be a whole number";
            pick = std.math.cast(u32, number) orelse return "pick: has to be a whole number";
        } else return command.format("{s}: unknown key", .{key});
    }
    if (refuse) |reason| return reason;
    command.count("configured", 1);
    return null;
}

pub fn backendsChanged(pool: waypost.Pool, generation: u64, backends: []const waypost.Backend) void {
    const text = topology(pool.name, generation, backends) catch @panic("no memory");
    const known = pools.fetchPut(gpa, pool.id, text) catch @panic("no memory");
    if (known) |former| gpa.free(former.value);
}

/// Kept for longer than this call.
fn topology(name: []const u8, generation: u64, backends: []const waypost.Backend) ![]const u8 {
    var text: std.ArrayList(u8) = .empty;
    try text.print(gpa, "{s} {d}", .{ name, generation });
    for (backends) |backend| {
        try text.print(gpa, " {s}/{d}", .{ backend.address.slice(), backend.weight });
        for (backend.labels.slice()) |label|
            try text.print(gpa, "/{s}={s}", .{ label.key.slice(), label.value.slice() });
    }
    return text.toOwnedSlice(gpa);
}

pub fn check(request: waypost.Request) waypost.Answer(?[]const waypost.ByteRange) {
    var answer: waypost.Answer(?[]const waypost.ByteRange) = .{ .ok = null };
    var refused: ?waypost.Response = null;
    calls += 1;
    var all: command.Commands = .of(request, "range");
    while (all.next()) |one| {
        if (one.is("ignore")) {
            answer.ok = &.{};
        } else if (one.is("ranges")) {
            answer.ok = ranges(one.rest);
        } else command.any(one, "range", &refused);
    }
    return if (refused) |response| .{ .response = response } else answer;
}

fn ranges(text: []const u8) []const waypost.ByteRange {
    var list: std.ArrayList(waypost.ByteRange) = .empty;
    var parts = std.mem.splitScalar(u8, text, ',');
    while (parts.next()) |part| {
        const first, const last = std.mem.cutScalar(u8, part, '-') orelse @panic("a range is A-B, A- or -B");
        list.append(waypost.call, .{ .first = rangeEnd(first), .last = rangeEnd(last) }) catch @panic("no memory");
    }
    return list.items;
}

fn rangeEnd(digits: []const u8) ?u64 {
    return if (digits.len > 0) command.number(u64, digits) else null;
}

pub fn select(request: waypost.Request, _: u32, attempt: u32) waypost.Answer(?u32) {
    var choice = pick;
    var refused: ?waypost.Response = null;
    calls += 1;
    var all: command.Commands = .of(request, "select");
    while (all.next()) |one| {
        if (one.is("pick")) {
            choice = command.number(u32, one.rest);
        } else if (one.is("none")) {
            choice = null;
        } else if (one.is("picks")) {
            choice = nth(one.rest, attempt);
        } else if (one.is("tell")) {
            if (command.number(u32, one.rest) == attempt) refused = .{ .status = 200, .body = tried(attempt) };
        } else command.any(one, "select", &refused);
    }
    return if (refused) |response| .{ .response = response } else .{ .ok = choice };
}

fn nth(text: []const u8, attempt: u32) ?u32 {
    var parts = std.mem.splitScalar(u8, text, ',');
    for (1..attempt) |_| _ = parts.next();
    return command.number(u32, parts.next() orelse return null);
}

fn tried(attempt: u32) []const u8 {
    return command.format("{d}{s}", .{ attempt, failed() });
}

/// The attempts that failed, each after a space.
fn failed() []const u8 {
    var text: std.ArrayList(u8) = .empty;
    for (waypost.attempts.failed()) |past| {
        const failure = switch (past.failure) {
            .connect => "connect",
            .connect_timeout => "connect-timeout",
            .closed => "closed",
            .other => "other",
        };
        text.print(waypost.call, " {d}:{s}", .{ past.backend, failure }) catch @panic("no memory");
    }
    return text.items;
}

pub fn editRequest(request: waypost.Request, headers: waypost.Headers) waypost.Answer(void) {
    return edit(request, headers, "request", "none");
}

pub fn editResponse(request: waypost.Request, status: u16, backend: u32, headers: waypost.Headers) waypost.Answer(void) {
    return edit(request, headers, "response", command.format("{d} {d}", .{ status, backend }));
}

fn edit(request: waypost.Request, headers: waypost.Headers, hook: []const u8, answer: []const u8) waypost.Answer(void) {
    var refused: ?waypost.Response = null;
    calls += 1;
    var all: command.Commands = .of(request, hook);
    while (all.next()) |one| {
        if (one.is("many")) {
            report.many(command.number(u32, one.rest), headers);
        } else if (report.outcome(one, request, headers, answer)) |text| {
            // A refused edit shows as a field that is missing.
            headers.append("x-did", text) catch {};
        } else command.any(one, hook, &refused);
    }
    return if (refused) |response| .{ .response = response } else .{ .ok = {} };
}

pub fn editLocalResponse(
    request: waypost.Request,
    status: u16,
    source: waypost.Source,
    headers: waypost.Headers,
) void {
    // There is nothing to refuse.
    _ = edit(request, headers, "local", command.format("{d} {s}", .{ status, @tagName(source) }));
}

pub fn completed(request: waypost.Request, outcome: waypost.Outcome) void {
    // There is nothing to refuse any more.
    var refused: ?waypost.Response = null;
    var all: command.Commands = .of(request, "completed");
    while (all.next()) |one| {
        if (one.is("tell")) {
            waypost.log.write(.info, heard(outcome));
        } else command.any(one, "completed", &refused);
    }
}

fn heard(outcome: waypost.Outcome) []const u8 {
    const backend: ?u64 = if (outcome.backend) |index| index else null;
    const status: ?u64 = if (outcome.status) |code| code else null;
    return command.format("heard {d} {s} {s} {s} {d} {s} {s} {d} {d} {d}{s}", .{
        outcome.pool,
        optional(backend),
        optional(status),
        if (outcome.failure) |why| @tagName(why) else "none",
        outcome.attempts,
        optional(outcome.first_byte_microseconds),
        optional(outcome.latency_microseconds),
        outcome.duration_microseconds,
        outcome.request_bytes,
        outcome.response_bytes,
        failed(),
    });
}

fn optional(number: ?u64) []const u8 {
    return if (number) |known| command.format("{d}", .{known}) else "none";
}
