//! The functions that the host offers, as the canonical ABI has them, and what lies in memory.

const waypost = @import("waypost.zig");

/// A string, or a list of bytes.
pub const Bytes = extern struct {
    ptr: [*]const u8,
    len: usize,

    pub fn of(from: []const u8) Bytes {
        return .{ .ptr = at(from), .len = from.len };
    }
    pub fn slice(self: Bytes) []const u8 {
        return self.ptr[0..self.len];
    }
};

pub fn List(comptime T: type) type {
    return extern struct {
        ptr: [*]const T,
        len: usize,

        pub fn of(from: []const T) @This() {
            const aligned: [*]const T = @ptrFromInt(@alignOf(T));
            return .{ .ptr = if (from.len > 0) from.ptr else aligned, .len = from.len };
        }
        pub fn slice(self: @This()) []const T {
            return self.ptr[0..self.len];
        }
    };
}

/// Where bytes are. Zig gives nothing an address that is outside of the memory, and the host refuses that.
pub fn at(from: []const u8) [*]const u8 {
    return if (from.len > 0) from.ptr else "";
}

/// Calls a function that answers with text or bytes.
pub fn bytes(comptime function: anytype, arguments: anytype) []const u8 {
    return list(u8, function, arguments);
}

/// Calls a function that answers with a list.
pub fn list(comptime T: type, comptime function: anytype, arguments: anytype) []const T {
    var result: List(T) = undefined;
    @call(.auto, function, arguments ++ .{@as(*anyopaque, &result)});
    return result.slice();
}

/// Calls a function that answers with text or bytes, or with none.
pub fn optional(comptime function: anytype, arguments: anytype) ?[]const u8 {
    var result: extern struct { is_some: u8, value: Bytes } = undefined;
    @call(.auto, function, arguments ++ .{@as(*anyopaque, &result)});
    return if (result.is_some != 0) result.value.slice() else null;
}

/// Calls a function that answers with nothing, or with one of these errors, which are in the order of the contract.
pub fn done(comptime E: type, comptime errors: []const E, comptime function: anytype, arguments: anytype) E!void {
    var result: extern struct { is_error: u8, code: u8 } = undefined;
    @call(.auto, function, arguments ++ .{@as(*anyopaque, &result)});
    if (result.is_error != 0) return errors[result.code];
}

/// The host asks for memory by this, for what it passes.
fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    const made = waypost.call.rawAlloc(@max(len, 1), .fromByteUnits(alignment), @returnAddress()) orelse
        @panic("no memory");
    if (old) |from| @memcpy(made, from[0..@min(old_len, len)]);
    return made;
}

comptime {
    @export(&realloc, .{ .name = "cabi_realloc" });
}

const Text = [*]const u8;

pub const types = struct {
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.method"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.scheme"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.host"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.path"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.raw-path"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.query"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.client-address"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.pool"(i32) i32;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.pools"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.header"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.header-values"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]request.header-names"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[resource-drop]request"(i32) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.first"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.values"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.names"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.set"(i32, Text, usize, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.append"(i32, Text, usize, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]headers.remove"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[resource-drop]headers"(i32) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.path"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.query"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.host"(i32, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.set-path"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.set-query"(i32, i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[method]target.set-host"(i32, Text, usize, *anyopaque) void;
    pub extern "waypost:policy/types@0.1.0" fn @"[resource-drop]target"(i32) void;
};

pub const log = struct {
    pub extern "waypost:policy/log@0.1.0" fn write(i32, Text, usize) void;
};

pub const random = struct {
    pub extern "waypost:policy/random@0.1.0" fn below(i32) i32;
    pub extern "waypost:policy/random@0.1.0" fn bits() i64;
};

pub const clock = struct {
    pub extern "waypost:policy/clock@0.1.0" fn @"monotonic-nanoseconds"() i64;
    pub extern "waypost:policy/clock@0.1.0" fn @"unix-milliseconds"() i64;
};

pub const backend_facts = struct {
    pub extern "waypost:policy/backend-facts@0.1.0" fn @"in-flight"(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn @"latency-microseconds"(i32) i64;
    pub extern "waypost:policy/backend-facts@0.1.0" fn healthy(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn @"consecutive-failures"(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn state(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn @"in-flight-of-all"(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn queued(i32) i32;
    pub extern "waypost:policy/backend-facts@0.1.0" fn @"queued-in-pool"() i32;
};

pub const attempts = struct {
    pub extern "waypost:policy/attempts@0.1.0" fn failed(*anyopaque) void;
    pub extern "waypost:policy/attempts@0.1.0" fn @"milliseconds-left"(*anyopaque) void;
};

pub const connection = struct {
    pub extern "waypost:policy/connection@0.1.0" fn protocol() i32;
    pub extern "waypost:policy/connection@0.1.0" fn tls(*anyopaque) void;
    pub extern "waypost:policy/connection@0.1.0" fn @"cipher-suite"(*anyopaque) void;
    pub extern "waypost:policy/connection@0.1.0" fn @"server-name"(*anyopaque) void;
    pub extern "waypost:policy/connection@0.1.0" fn @"application-protocol"(*anyopaque) void;
};

pub const client_certificate = struct {
    pub extern "waypost:policy/client-certificate@0.1.0" fn subject(*anyopaque) void;
    pub extern "waypost:policy/client-certificate@0.1.0" fn names(*anyopaque) void;
    pub extern "waypost:policy/client-certificate@0.1.0" fn @"serial-number"(*anyopaque) void;
    pub extern "waypost:policy/client-certificate@0.1.0" fn fingerprint(*anyopaque) void;
    pub extern "waypost:policy/client-certificate@0.1.0" fn @"expires-milliseconds"(*anyopaque) void;
};

pub const counters = struct {
    pub extern "waypost:policy/counters@0.1.0" fn define(Text, usize, *anyopaque) void;
    pub extern "waypost:policy/counters@0.1.0" fn add(i32, i64) void;
};

pub const store = struct {
    pub extern "waypost:policy/store@0.1.0" fn get(Text, usize, *anyopaque) void;
    pub extern "waypost:policy/store@0.1.0" fn set(Text, usize, Text, usize, i64, *anyopaque) void;
    pub extern "waypost:policy/store@0.1.0" fn remove(Text, usize) i32;
    pub extern "waypost:policy/store@0.1.0" fn @"compare-and-set"(Text, usize, i32, Text, usize, Text, usize, i64, *anyopaque) void;
    pub extern "waypost:policy/store@0.1.0" fn increment(Text, usize, i64, i64, *anyopaque) void;
    pub extern "waypost:policy/store@0.1.0" fn decrement(Text, usize, i64, i64, *anyopaque) void;
    pub extern "waypost:policy/store@0.1.0" fn counter(Text, usize, *anyopaque) void;
};
