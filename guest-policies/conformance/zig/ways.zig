//! The hooks that say where a request goes.

const std = @import("std");
const waypost = @import("waypost");
const main = @import("conformance.zig");
const command = @import("command.zig");
const format = command.format;

pub fn route(request: waypost.Request) waypost.Answer(?u32) {
    return pool(request, "route", "");
}

pub fn decide(request: waypost.Request, port: u16, user: ?[]const u8) waypost.Answer(?u32) {
    return pool(request, "decide", format("{s} {d} {s} ", .{ request.host(), port, user orelse "none" }));
}

/// The answer of `route` and `decide`; `before` is what is told before the pools.
fn pool(request: waypost.Request, hook: []const u8, before: []const u8) waypost.Answer(?u32) {
    var choice: ?u32 = null;
    var refused: ?waypost.Response = null;
    main.calls += 1;
    var all: command.Commands = .of(request, hook);
    while (all.next()) |one| {
        if (one.is("pool")) {
            choice = indexOf(request, one.rest);
        } else if (one.is("index")) {
            choice = command.number(u32, one.rest);
        } else if (one.is("none")) {
            choice = null;
        } else if (one.is("tell")) {
            const told = format("{s}{s} {s}", .{ before, name(request.pool()), names(request) });
            refused = .{ .status = 403, .body = told };
        } else command.any(one, hook, &refused);
    }
    return if (refused) |response| .{ .response = response } else .{ .ok = choice };
}

/// What the operator calls a pool: the beginning of what is kept of it.
fn name(id: u32) []const u8 {
    const told = main.pools.get(id) orelse return format("{d}", .{id});
    return told[0 .. std.mem.indexOfScalar(u8, told, ' ') orelse told.len];
}

fn indexOf(request: waypost.Request, wanted: []const u8) ?u32 {
    for (request.pools(), 0..) |id, at| if (std.mem.eql(u8, name(id), wanted)) return @intCast(at);
    return null;
}

fn names(request: waypost.Request) []const u8 {
    var text: []const u8 = "";
    for (request.pools(), 0..) |id, at| text = format("{s}{s}{s}", .{ text, if (at > 0) "," else "", name(id) });
    return if (text.len > 0) text else "none";
}

pub fn editTarget(request: waypost.Request, target: waypost.Target) waypost.Answer(void) {
    var outcomes: []const u8 = "";
    var refused: ?waypost.Response = null;
    main.calls += 1;
    var all: command.Commands = .of(request, "target");
    while (all.next()) |one| {
        if (edited(one, target)) |outcome| {
            outcomes = format("{s} {s}", .{ outcomes, outcome });
        } else if (one.is("tell")) {
            refused = .{ .status = 200, .body = format("{s}{s}", .{ read(target), outcomes }) };
        } else command.any(one, "target", &refused);
    }
    return if (refused) |response| .{ .response = response } else .{ .ok = {} };
}

/// What came of an edit; null if the command is none.
fn edited(one: command.Command, target: waypost.Target) ?[]const u8 {
    const result = if (one.is("path"))
        target.setPath(one.rest)
    else if (one.is("query"))
        target.setQuery(one.rest)
    else if (one.is("no-query"))
        target.setQuery(null)
    else if (one.is("host"))
        target.setHost(one.rest)
    else
        return null;
    result catch |fault| return switch (fault) {
        error.NotAllowed => "not-allowed",
        error.Invalid => "invalid",
        error.TooMany => "too-many",
    };
    return "ok";
}

fn read(target: waypost.Target) []const u8 {
    const query = if (target.query()) |query| format("?{s}", .{query}) else "none";
    return format("{s} {s} {s}", .{ target.path(), query, target.host() });
}
