//! The operator's settings: JSON text to meaning. Every error names its key.

const std = @import("std");
const Value = std.json.Value;
const gpa = std.heap.wasm_allocator;

pub const Settings = struct {
    /// In lower case.
    header: []const u8 = "",
    /// Sorted by value.
    routes: []Pair = &.{},
    fallback: Fallback = .none,
    request: Edits = .{},
    response: Edits = .{},
};

pub const Fallback = enum { none, hash };

/// A value and the backend it stands for, or the name and the value of a field.
pub const Pair = struct { name: []const u8, value: []const u8 };

/// Made in this order.
pub const Edits = struct {
    remove: [][]const u8 = &.{},
    set: []Pair = &.{},
    append: []Pair = &.{},
};

/// What the contract keeps for the host; told here, so that the mistake shows when the policy is loaded.
const host_fields = [_][]const u8{
    "connection",       "content-length", "expect",  "host",              "keep-alive",
    "proxy-connection", "te",             "trailer", "transfer-encoding", "upgrade",
};

pub const Parsed = union(enum) { settings: Settings, reason: []const u8 };

/// Lives as long as the instance: nothing of it is ever freed.
pub fn parse(text: []const u8) Parsed {
    var reader: Reader = .{};
    const settings = reader.whole(text) catch |fault| switch (fault) {
        error.Refused => return .{ .reason = reader.reason },
        error.OutOfMemory => @panic("no memory"),
    };
    return .{ .settings = settings };
}

const Fault = error{ Refused, OutOfMemory };

const Reader = struct {
    reason: []const u8 = "",

    fn refuse(self: *Reader, comptime format: []const u8, parts: anytype) Fault {
        self.reason = try std.fmt.allocPrint(gpa, format, parts);
        return error.Refused;
    }

    fn whole(self: *Reader, text: []const u8) Fault!Settings {
        // The last of several equal keys counts.
        const root = std.json.parseFromSliceLeaky(Value, gpa, text, .{
            .duplicate_field_behavior = .use_last,
            .allocate = .alloc_always,
        }) catch |fault| return self.refuse("settings: not JSON: {s}", .{@errorName(fault)});
        const given = try self.table(root, "settings");
        try self.only(given, "", &.{ "header", "routes", "fallback", "request", "response" });
        const header = given.get("header") orelse
            return self.refuse("header: missing; name the field that chooses the backend", .{});
        return .{
            .header = try self.fieldName(try self.string(header, "header"), "header"),
            .routes = try self.routes(given.get("routes")),
            .fallback = try self.fallback(given.get("fallback")),
            .request = try self.edits(given.get("request"), "request"),
            .response = try self.edits(given.get("response"), "response"),
        };
    }

    fn routes(self: *Reader, value: ?Value) Fault![]Pair {
        const pairs = try self.strings(value, "routes");
        for (pairs) |pair| {
            if (pair.value.len > 0) continue;
            return self.refuse("routes.{s}: is empty; give an address or the name label of a backend", .{pair.name});
        }
        std.mem.sort(Pair, pairs, {}, byName);
        return pairs;
    }

    fn byName(_: void, one: Pair, other: Pair) bool {
        return std.mem.lessThan(u8, one.name, other.name);
    }

    fn fallback(self: *Reader, value: ?Value) Fault!Fallback {
        const given = try self.string(value orelse return .none, "fallback");
        return std.meta.stringToEnum(Fallback, given) orelse
            self.refuse("fallback: \"{s}\" is neither \"none\" nor \"hash\"", .{given});
    }

    fn edits(self: *Reader, value: ?Value, comptime key: []const u8) Fault!Edits {
        const given = try self.table(value orelse return .{}, key);
        try self.only(given, key ++ ".", &.{ "set", "append", "remove" });
        return .{
            .remove = try self.names(given.get("remove"), key ++ ".remove"),
            .set = try self.fields(given.get("set"), key ++ ".set"),
            .append = try self.fields(given.get("append"), key ++ ".append"),
        };
    }

    fn names(self: *Reader, value: ?Value, key: []const u8) Fault![][]const u8 {
        const given = switch (value orelse return &.{}) {
            .array => |list| list.items,
            else => return self.refuse("{s}: has to be a list of field names", .{key}),
        };
        const made = try gpa.alloc([]const u8, given.len);
        for (made, given) |*name, one| name.* = try self.writable(try self.string(one, key), key);
        return made;
    }

    fn fields(self: *Reader, value: ?Value, key: []const u8) Fault![]Pair {
        const pairs = try self.strings(value, key);
        for (pairs) |*pair| {
            const name = pair.name;
            pair.name = try self.writable(name, key);
            if (hasControl(pair.value))
                return self.refuse("{s}.{s}: a field value has no control characters", .{ key, name });
        }
        return pairs;
    }

    fn strings(self: *Reader, value: ?Value, key: []const u8) Fault![]Pair {
        const given = try self.table(value orelse return &.{}, key);
        const made = try gpa.alloc(Pair, given.count());
        var members = given.iterator();
        for (made) |*pair| {
            const member = members.next().?;
            pair.name = member.key_ptr.*;
            pair.value = switch (member.value_ptr.*) {
                .string => |text| text,
                else => return self.refuse("{s}.{s}: has to be a string", .{ key, pair.name }),
            };
        }
        return made;
    }

    fn table(self: *Reader, value: Value, key: []const u8) Fault!std.json.ObjectMap {
        return switch (value) {
            .object => |members| members,
            else => self.refuse("{s}: has to be a table", .{key}),
        };
    }

    fn string(self: *Reader, value: Value, key: []const u8) Fault![]const u8 {
        return switch (value) {
            .string => |text| text,
            else => self.refuse("{s}: has to be a string", .{key}),
        };
    }

    fn writable(self: *Reader, given: []const u8, key: []const u8) Fault![]const u8 {
        const name = try self.fieldName(given, key);
        for (host_fields) |field| {
            if (std.mem.eql(u8, field, name))
                return self.refuse("{s}: \"{s}\" belongs to the proxy, a policy can't write it", .{ key, name });
        }
        return name;
    }

    fn fieldName(self: *Reader, given: []const u8, key: []const u8) Fault![]const u8 {
        if (!isToken(given)) return self.refuse("{s}: \"{s}\" is not a field name", .{ key, given });
        return std.ascii.allocLowerString(gpa, given);
    }

    fn only(self: *Reader, given: std.json.ObjectMap, prefix: []const u8, comptime known: []const []const u8) Fault!void {
        const all = comptime join(known);
        outer: for (given.keys()) |key| {
            for (known) |one| if (std.mem.eql(u8, one, key)) continue :outer;
            return self.refuse("{s}{s}: unknown key; there are {s}", .{ prefix, key, all });
        }
    }
};

fn join(comptime parts: []const []const u8) []const u8 {
    var all: []const u8 = parts[0];
    for (parts[1..]) |part| all = all ++ ", " ++ part;
    return all;
}

fn isToken(name: []const u8) bool {
    if (name.len == 0 or name.len > 256) return false;
    for (name) |byte| {
        if (!std.ascii.isAlphanumeric(byte) and std.mem.findScalar(u8, "!#$%&'*+-.^_`|~", byte) == null) return false;
    }
    return true;
}

/// Control characters are those below space, DEL, and U+0080 to U+009F.
fn hasControl(value: []const u8) bool {
    for (value, 0..) |byte, at| {
        if (std.ascii.isControl(byte) and byte != '\t') return true;
        if (byte == 0xc2 and at + 1 < value.len and value[at + 1] < 0xa0) return true;
    }
    return false;
}
