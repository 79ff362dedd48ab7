//! The commands of the hooks that edit header fields.

const std = @import("std");
const waypost = @import("waypost");
const main = @import("conformance.zig");
const command = @import("command.zig");
const format = command.format;

/// What came of a command; null if it is none of a header hook.
pub fn outcome(one: command.Command, request: waypost.Request, headers: waypost.Headers, answer: []const u8) ?[]const u8 {
    return edited(one, headers) orelse read(one, request, headers) orelse told(one, request, answer) orelse stored(one);
}

/// Appends fields until one is refused.
pub fn many(wanted: u32, headers: waypost.Headers) void {
    for (0..wanted) |at| {
        headers.append("x-many", format("{d}", .{at})) catch |fault| return command.count(switch (fault) {
            error.InvalidName => "invalid_name",
            error.InvalidValue => "invalid_value",
            error.Forbidden => "forbidden",
            error.TooMany => "too_many",
        }, 1);
    }
}

fn edited(one: command.Command, headers: waypost.Headers) ?[]const u8 {
    const result = if (one.is("set")) set: {
        const name, const value = one.arguments(2);
        break :set headers.set(name, value);
    } else if (one.is("append")) append: {
        const name, const value = one.arguments(2);
        break :append headers.append(name, value);
    } else if (one.is("remove")) headers.remove(one.rest) else return null;
    result catch |fault| return switch (fault) {
        error.InvalidName => "invalid-name",
        error.InvalidValue => "invalid-value",
        error.Forbidden => "forbidden",
        error.TooMany => "too-many",
    };
    return "ok";
}

fn read(one: command.Command, request: waypost.Request, headers: waypost.Headers) ?[]const u8 {
    if (one.is("first")) return optional(headers.first(one.rest));
    if (one.is("values")) return all(headers.values(one.rest));
    if (one.is("names")) return names(headers.names());
    if (one.is("request-first")) return optional(request.header(one.rest));
    if (one.is("request-values")) return all(request.headerValues(one.rest));
    if (one.is("request-names")) return names(request.headerNames());
    return null;
}

fn told(one: command.Command, request: waypost.Request, answer: []const u8) ?[]const u8 {
    if (one.is("echo")) return echo(request);
    if (one.is("answer")) return answer;
    if (one.is("greeting")) return format("{x}", .{main.greeting});
    if (one.is("topology")) return main.pools.get(request.pool()) orelse @panic("an unknown pool");
    if (one.is("facts")) return facts(command.number(u32, one.rest));
    if (one.is("state")) {
        const backend = command.number(u32, one.rest);
        const state = @tagName(waypost.backend_facts.state(backend));
        return format("{s} {d}", .{ state, waypost.backend_facts.inFlightOfAll(backend) });
    }
    if (one.is("queues")) {
        const queued = waypost.backend_facts.queued(command.number(u32, one.rest));
        return format("{d} {d}", .{ queued, waypost.backend_facts.queuedInPool() });
    }
    if (one.is("time-left")) {
        return if (waypost.attempts.millisecondsLeft()) |left| format("{d}", .{left}) else "none";
    }
    if (one.is("connection")) return connection();
    if (one.is("certificate")) return certificate();
    if (one.is("random")) {
        const below = waypost.random.below(command.number(u32, one.rest));
        return format("{d} {d}", .{ below, waypost.random.bits() });
    }
    if (one.is("clock")) {
        return format("{d} {d}", .{ waypost.clock.monotonicNanoseconds(), waypost.clock.unixMilliseconds() });
    }
    if (one.is("calls")) return format("{d}", .{main.calls});
    if (one.is("define")) return switch (waypost.counters.define(one.rest)) {
        .counter => "ok",
        .reason => |why| why,
    };
    return null;
}

fn stored(one: command.Command) ?[]const u8 {
    const store = waypost.store;
    if (one.is("store-get")) return optional(store.get(one.rest));
    if (one.is("store-set")) {
        const key, const ttl, const value = one.arguments(3);
        store.set(key, value, command.number(u64, ttl)) catch |fault| return reason(fault);
        return "ok";
    }
    if (one.is("store-remove")) return format("{}", .{store.remove(one.rest)});
    if (one.is("store-swap")) {
        const key, const ttl, const before, const value = one.arguments(4);
        const expected = if (std.mem.eql(u8, before, "-")) null else before;
        const swapped = store.compareAndSet(key, expected, value, command.number(u64, ttl)) catch |fault|
            return reason(fault);
        return format("{}", .{swapped});
    }
    if (one.is("store-add")) {
        const key, const ttl, const by = one.arguments(3);
        const now = store.increment(key, command.number(i64, by), command.number(u64, ttl)) catch |fault|
            return reason(fault);
        return format("{d}", .{now});
    }
    if (one.is("store-sub")) {
        const key, const ttl, const by = one.arguments(3);
        const now = store.decrement(key, command.number(u64, by), command.number(u64, ttl)) catch |fault|
            return reason(fault);
        return format("{d}", .{now});
    }
    if (one.is("store-counter")) return if (store.counter(one.rest)) |count| format("{d}", .{count}) else "none";
    return null;
}

fn reason(fault: waypost.store.Error) []const u8 {
    return switch (fault) {
        error.KeyTooLong => "key-too-long",
        error.ValueTooLong => "value-too-long",
        error.NoRoom => "no-room",
    };
}

fn echo(request: waypost.Request) []const u8 {
    const query = if (request.query()) |query| format("?{s}", .{query}) else "none";
    const parts = .{ request.method(), request.scheme(), request.host(), request.path(), query, request.clientAddress() };
    return format("{s} {s} {s} {s} {s} {s}", parts);
}

fn facts(backend: u32) []const u8 {
    const known = waypost.backend_facts;
    return format("{d} {d} {} {d}", .{
        known.inFlight(backend),
        known.latencyMicroseconds(backend),
        known.healthy(backend),
        known.consecutiveFailures(backend),
    });
}

fn connection() []const u8 {
    const here = waypost.connection;
    return format("{s} {s} {s} {s} {s}", .{
        @tagName(here.protocol()),
        if (here.tls()) |version| @tagName(version) else "none",
        here.cipherSuite() orelse "none",
        here.serverName() orelse "none",
        here.applicationProtocol() orelse "none",
    });
}

fn certificate() []const u8 {
    const own = waypost.client_certificate;
    var listed: []const u8 = "none";
    for (own.names(), 0..) |name, at| {
        const before = if (at > 0) format("{s},", .{listed}) else "";
        listed = format("{s}{s}:{s}", .{ before, @tagName(name.kind), name.text.slice() });
    }
    return format("{s} {s} {s} {s} {s}", .{
        own.serialNumber() orelse "none",
        own.fingerprint() orelse "none",
        if (own.expiresMilliseconds()) |time| format("{d}", .{time}) else "none",
        listed,
        own.subject() orelse "none",
    });
}

fn optional(value: ?[]const u8) []const u8 {
    return if (value) |bytes| format("{x}", .{bytes}) else "none";
}

fn all(values: anytype) []const u8 {
    if (values.len == 0) return "none";
    var text: []const u8 = optional(values[0].slice());
    for (values[1..]) |value| text = format("{s},{x}", .{ text, value.slice() });
    return text;
}

fn names(listed: anytype) []const u8 {
    var text: []const u8 = "";
    for (listed, 0..) |one, at| text = format("{s}{s}{s}", .{ text, if (at > 0) "," else "", one.slice() });
    return text;
}
