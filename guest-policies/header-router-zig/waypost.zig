//! The contract `waypost:policy@0.1.0` for policies in Zig. A policy is a file with the hooks that it wants as public functions, and
//!
//!     comptime {
//!         waypost.hooks(@This());
//!     }
//!
//! | hook | function |
//! |---|---|
//! | `configuration.configure` | `fn configure(settings: []const u8) ?[]const u8`: why the settings are refused, or null |
//! | `topology.backends-changed` | `fn backendsChanged(pool: Pool, generation: u64, backends: []const Backend) void` |
//! | `selection.select` | `fn select(request: Request, pool: u32, attempt: u32) Answer(?u32)` |
//! | `request-headers.edit-request` | `fn editRequest(request: Request, headers: Headers) Answer(void)` |
//! | `request-target.edit-target` | `fn editTarget(request: Request, target: Target) Answer(void)` |
//! | `routing.route` | `fn route(request: Request) Answer(?u32)` |
//! | `destination.decide` | `fn decide(request: Request, port: u16, user: ?[]const u8) Answer(?u32)` |
//! | `response-headers.edit-response` | `fn editResponse(request: Request, status: u16, backend: u32, headers: Headers) Answer(void)` |
//! | `local-response.edit-local-response` | `fn editLocalResponse(request: Request, status: u16, source: Source, headers: Headers) void` |
//! | `range.check` | `fn check(request: Request) Answer(?[]const ByteRange)` |
//! | `completion.completed` | `fn completed(request: Request, outcome: Outcome) void` |
//!
//! What a hook is given, what the host answers and what `call` allocates lives until the hook's answer was read; then all of
//! it goes at once. What is to stay is copied with an allocator that is not `call`.
//!
//! This is the canonical ABI of the component model, by hand: text is a pointer and a length, records and lists lie in memory as
//! `extern struct`s do, results that are more than one number are written where the last argument points.

const std = @import("std");
const abi = @import("abi.zig");

pub const hooks = @import("hooks.zig").hooks;

var arena: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// Memory for the time of one call.
pub const call = arena.allocator();

/// The end of a call: what `call` gave is free again.
pub fn endOfCall() void {
    _ = arena.reset(.retain_capacity);
}

/// What a hook says: its own answer, or an answer to the client.
pub fn Answer(comptime T: type) type {
    return union(enum) { ok: T, response: Response };
}

pub const Response = struct {
    status: u16,
    headers: []const Field = &.{},
    body: []const u8 = "",
};

pub const Field = struct { name: []const u8, value: []const u8 };

pub const Pool = struct { id: u32, name: []const u8 };

pub const Backend = extern struct {
    address: abi.Bytes,
    weight: u32,
    labels: abi.List(Label),
};

pub const Label = extern struct { key: abi.Bytes, value: abi.Bytes };

pub const ByteRange = struct { first: ?u64 = null, last: ?u64 = null };

/// What has made a response that is no backend's.
pub const Source = enum(u8) { proxy, policy };

/// Why a request has not ended with the whole response of a backend.
pub const RequestFailure = enum(u8) { client, policy, refused, backend, timeout, cancelled };

/// What became of a request. A backend that has left its pool's list is 4294967295.
pub const Outcome = struct {
    pool: u32,
    backend: ?u32,
    status: ?u16,
    failure: ?RequestFailure,
    attempts: u32,
    first_byte_microseconds: ?u64,
    latency_microseconds: ?u64,
    duration_microseconds: u64,
    request_bytes: u64,
    response_bytes: u64,
};

/// The request being decided; valid until the hook returns.
pub const Request = struct {
    handle: i32,

    pub fn method(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.method", .{self.handle});
    }
    pub fn scheme(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.scheme", .{self.handle});
    }
    pub fn host(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.host", .{self.handle});
    }
    pub fn path(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.path", .{self.handle});
    }
    /// As it was received; `path` is in normal form.
    pub fn rawPath(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.raw-path", .{self.handle});
    }
    pub fn query(self: Request) ?[]const u8 {
        return abi.optional(abi.types.@"[method]request.query", .{self.handle});
    }
    pub fn clientAddress(self: Request) []const u8 {
        return abi.bytes(abi.types.@"[method]request.client-address", .{self.handle});
    }
    pub fn pool(self: Request) u32 {
        return @bitCast(abi.types.@"[method]request.pool"(self.handle));
    }
    /// The pools of the route, or of the forward proxy, by their id: what an answer of `route` and `decide` is an index into.
    pub fn pools(self: Request) []const u32 {
        return abi.list(u32, abi.types.@"[method]request.pools", .{self.handle});
    }
    pub fn header(self: Request, name: []const u8) ?[]const u8 {
        return abi.optional(abi.types.@"[method]request.header", .{ self.handle, abi.at(name), name.len });
    }
    pub fn headerValues(self: Request, name: []const u8) []const abi.Bytes {
        return abi.list(abi.Bytes, abi.types.@"[method]request.header-values", .{ self.handle, abi.at(name), name.len });
    }
    pub fn headerNames(self: Request) []const abi.Bytes {
        return abi.list(abi.Bytes, abi.types.@"[method]request.header-names", .{self.handle});
    }
};

pub const HeaderError = error{ InvalidName, InvalidValue, Forbidden, TooMany };

/// The header fields of the message on its way; valid until the hook returns.
pub const Headers = struct {
    handle: i32,

    pub fn first(self: Headers, name: []const u8) ?[]const u8 {
        return abi.optional(abi.types.@"[method]headers.first", .{ self.handle, abi.at(name), name.len });
    }
    pub fn values(self: Headers, name: []const u8) []const abi.Bytes {
        return abi.list(abi.Bytes, abi.types.@"[method]headers.values", .{ self.handle, abi.at(name), name.len });
    }
    pub fn names(self: Headers) []const abi.Bytes {
        return abi.list(abi.Bytes, abi.types.@"[method]headers.names", .{self.handle});
    }
    pub fn set(self: Headers, name: []const u8, value: []const u8) HeaderError!void {
        return done(abi.types.@"[method]headers.set", .{ self.handle, abi.at(name), name.len, abi.at(value), value.len });
    }
    pub fn append(self: Headers, name: []const u8, value: []const u8) HeaderError!void {
        return done(abi.types.@"[method]headers.append", .{ self.handle, abi.at(name), name.len, abi.at(value), value.len });
    }
    pub fn remove(self: Headers, name: []const u8) HeaderError!void {
        return done(abi.types.@"[method]headers.remove", .{ self.handle, abi.at(name), name.len });
    }

    fn done(comptime function: anytype, arguments: anytype) HeaderError!void {
        const errors = [_]HeaderError{ error.InvalidName, error.InvalidValue, error.Forbidden, error.TooMany };
        return abi.done(HeaderError, &errors, function, arguments);
    }
};

pub const TargetError = error{ NotAllowed, Invalid, TooMany };

/// What the backend will be asked for; valid until the hook returns.
pub const Target = struct {
    handle: i32,

    pub fn path(self: Target) []const u8 {
        return abi.bytes(abi.types.@"[method]target.path", .{self.handle});
    }
    pub fn query(self: Target) ?[]const u8 {
        return abi.optional(abi.types.@"[method]target.query", .{self.handle});
    }
    /// With its port if it has one.
    pub fn host(self: Target) []const u8 {
        return abi.bytes(abi.types.@"[method]target.host", .{self.handle});
    }
    pub fn setPath(self: Target, to: []const u8) TargetError!void {
        return done(abi.types.@"[method]target.set-path", .{ self.handle, abi.at(to), to.len });
    }
    /// Null removes it.
    pub fn setQuery(self: Target, to: ?[]const u8) TargetError!void {
        const text = to orelse "";
        const some: i32 = @intFromBool(to != null);
        return done(abi.types.@"[method]target.set-query", .{ self.handle, some, abi.at(text), text.len });
    }
    pub fn setHost(self: Target, to: []const u8) TargetError!void {
        return done(abi.types.@"[method]target.set-host", .{ self.handle, abi.at(to), to.len });
    }

    fn done(comptime function: anytype, arguments: anytype) TargetError!void {
        const errors = [_]TargetError{ error.NotAllowed, error.Invalid, error.TooMany };
        return abi.done(TargetError, &errors, function, arguments);
    }
};

pub const log = struct {
    pub const Level = enum(i32) { debug, info, warn, @"error" };

    pub fn write(level: Level, message: []const u8) void {
        abi.log.write(@backingInt(level), abi.at(message), message.len);
    }
    /// A line with parts, as `std.fmt` has it.
    pub fn print(level: Level, comptime format: []const u8, parts: anytype) void {
        write(level, std.fmt.allocPrint(call, format, parts) catch @panic("no memory"));
    }
};

/// For a policy that wants its panics to say why, in the file with its hooks:
///
///     pub const panic = std.debug.FullPanic(waypost.panicked);
///
/// The line is not allocated: there may be no memory left.
pub fn panicked(message: []const u8, _: ?usize) noreturn {
    @branchHint(.cold);
    log.write(.@"error", message);
    @trap();
}

pub const random = struct {
    pub fn below(bound: u32) u32 {
        return @bitCast(abi.random.below(@bitCast(bound)));
    }
    pub fn bits() u64 {
        return @bitCast(abi.random.bits());
    }
};

pub const clock = struct {
    pub fn monotonicNanoseconds() u64 {
        return @bitCast(abi.clock.@"monotonic-nanoseconds"());
    }
    pub fn unixMilliseconds() u64 {
        return @bitCast(abi.clock.@"unix-milliseconds"());
    }
};

pub const backend_facts = struct {
    pub const HealthState = enum(u8) { healthy, degraded, ejected, draining, down };

    pub fn state(backend: u32) HealthState {
        return @fromBackingInt(@intCast(abi.backend_facts.state(@bitCast(backend))));
    }
    pub fn inFlightOfAll(backend: u32) u32 {
        return @bitCast(abi.backend_facts.@"in-flight-of-all"(@bitCast(backend)));
    }
    pub fn queued(backend: u32) u32 {
        return @bitCast(abi.backend_facts.queued(@bitCast(backend)));
    }
    pub fn queuedInPool() u32 {
        return @bitCast(abi.backend_facts.@"queued-in-pool"());
    }
    pub fn inFlight(backend: u32) u32 {
        return @bitCast(abi.backend_facts.@"in-flight"(@bitCast(backend)));
    }
    pub fn latencyMicroseconds(backend: u32) u64 {
        return @bitCast(abi.backend_facts.@"latency-microseconds"(@bitCast(backend)));
    }
    pub fn healthy(backend: u32) bool {
        return abi.backend_facts.healthy(@bitCast(backend)) != 0;
    }
    pub fn consecutiveFailures(backend: u32) u32 {
        return @bitCast(abi.backend_facts.@"consecutive-failures"(@bitCast(backend)));
    }
};

pub const attempts = struct {
    pub const Failure = enum(u8) { connect, connect_timeout, closed, other };
    pub const Failed = extern struct { backend: u32, failure: Failure };

    pub fn failed() []const Failed {
        return abi.list(Failed, abi.attempts.failed, .{});
    }
    pub fn millisecondsLeft() ?u64 {
        var result: extern struct { is_some: u8, left: u64 } = undefined;
        abi.attempts.@"milliseconds-left"(&result);
        return if (result.is_some != 0) result.left else null;
    }
};

/// The connection that the current request came by.
pub const connection = struct {
    pub const HttpVersion = enum(u8) { http10, http11, http2 };
    pub const TlsVersion = enum(u8) { tls12, tls13 };

    pub fn protocol() HttpVersion {
        return @fromBackingInt(@intCast(abi.connection.protocol()));
    }
    pub fn tls() ?TlsVersion {
        var result: extern struct { is_some: u8, version: TlsVersion } = undefined;
        abi.connection.tls(&result);
        return if (result.is_some != 0) result.version else null;
    }
    pub fn cipherSuite() ?[]const u8 {
        return abi.optional(abi.connection.@"cipher-suite", .{});
    }
    pub fn serverName() ?[]const u8 {
        return abi.optional(abi.connection.@"server-name", .{});
    }
    pub fn applicationProtocol() ?[]const u8 {
        return abi.optional(abi.connection.@"application-protocol", .{});
    }
};

/// The certificate by which the client of the current request has proved its identity.
pub const client_certificate = struct {
    pub const Kind = enum(u8) { dns, uri, email, address };
    pub const Name = extern struct { kind: Kind, text: abi.Bytes };

    pub fn subject() ?[]const u8 {
        return abi.optional(abi.client_certificate.subject, .{});
    }
    pub fn names() []const Name {
        return abi.list(Name, abi.client_certificate.names, .{});
    }
    pub fn serialNumber() ?[]const u8 {
        return abi.optional(abi.client_certificate.@"serial-number", .{});
    }
    pub fn fingerprint() ?[]const u8 {
        return abi.optional(abi.client_certificate.fingerprint, .{});
    }
    pub fn expiresMilliseconds() ?u64 {
        var result: extern struct { is_some: u8, time: u64 } = undefined;
        abi.client_certificate.@"expires-milliseconds"(&result);
        return if (result.is_some != 0) result.time else null;
    }
};

pub const counters = struct {
    pub const Defined = union(enum) { counter: u32, reason: []const u8 };

    pub fn define(name: []const u8) Defined {
        var result: extern struct { is_error: u8, value: extern union { counter: u32, reason: abi.Bytes } } = undefined;
        abi.counters.define(abi.at(name), name.len, &result);
        if (result.is_error != 0) return .{ .reason = result.value.reason.slice() };
        return .{ .counter = result.value.counter };
    }
    pub fn add(counter: u32, amount: u64) void {
        abi.counters.add(@bitCast(counter), @bitCast(amount));
    }
};

pub const store = struct {
    pub const Error = error{ KeyTooLong, ValueTooLong, NoRoom };
    const errors = [_]Error{ error.KeyTooLong, error.ValueTooLong, error.NoRoom };
    const Counted = extern struct {
        is_error: u8,
        value: extern union { code: u8, number: i64 },

        fn told(counted: *const Counted) Error!i64 {
            return if (counted.is_error != 0) errors[counted.value.code] else counted.value.number;
        }
    };

    pub fn get(key: []const u8) ?[]const u8 {
        return abi.optional(abi.store.get, .{ abi.at(key), key.len });
    }
    pub fn set(key: []const u8, value: []const u8, ttl_milliseconds: u64) Error!void {
        var result: extern struct { is_error: u8, code: u8 } = undefined;
        abi.store.set(abi.at(key), key.len, abi.at(value), value.len, @bitCast(ttl_milliseconds), &result);
        if (result.is_error != 0) return errors[result.code];
    }
    pub fn remove(key: []const u8) bool {
        return abi.store.remove(abi.at(key), key.len) != 0;
    }
    pub fn compareAndSet(key: []const u8, expected: ?[]const u8, value: []const u8, ttl_milliseconds: u64) Error!bool {
        var result: extern struct { is_error: u8, code: u8 } = undefined;
        const before = expected orelse "";
        const ttl: i64 = @bitCast(ttl_milliseconds);
        const some: i32 = @intFromBool(expected != null);
        abi.store.@"compare-and-set"(abi.at(key), key.len, some, abi.at(before), before.len, abi.at(value), value.len, ttl, &result);
        if (result.is_error != 0) return errors[result.code];
        return result.code != 0;
    }
    pub fn increment(key: []const u8, by: i64, ttl_milliseconds: u64) Error!i64 {
        var result: Counted = undefined;
        abi.store.increment(abi.at(key), key.len, by, @bitCast(ttl_milliseconds), &result);
        return result.told();
    }
    pub fn decrement(key: []const u8, by: u64, ttl_milliseconds: u64) Error!i64 {
        var result: Counted = undefined;
        abi.store.decrement(abi.at(key), key.len, @bitCast(by), @bitCast(ttl_milliseconds), &result);
        return result.told();
    }
    pub fn counter(key: []const u8) ?i64 {
        var result: extern struct { is_some: u8, number: i64 } = undefined;
        abi.store.counter(abi.at(key), key.len, &result);
        return if (result.is_some != 0) result.number else null;
    }
};
