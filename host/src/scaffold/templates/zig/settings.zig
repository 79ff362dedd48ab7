//! What the operator wrote: JSON text such as {"header": "x-canary"}.

const std = @import("std");

/// The name of the field, or what is wrong with the settings.
pub const Parsed = union(enum) { header: []const u8, reason: []const u8 };

/// What it returns lives as long as the instance.
pub fn parse(text: []const u8) Parsed {
    const gpa = std.heap.wasm_allocator;
    const given = std.json.parseFromSliceLeaky(std.json.Value, gpa, text, .{ .allocate = .alloc_always }) catch
        return .{ .reason = "settings: not JSON" };
    const table = switch (given) {
        .object => |table| table,
        else => return .{ .reason = "settings: have to be a table" },
    };
    for (table.keys()) |key| {
        if (std.mem.eql(u8, key, "header")) continue;
        return .{ .reason = std.mem.concat(gpa, u8, &.{ key, ": unknown key" }) catch @panic("no memory") };
    }
    const header = table.get("header") orelse return .{ .reason = "header: is missing; write the name of a field" };
    return switch (header) {
        .string => |name| .{ .header = name },
        else => .{ .reason = "header: has to be the name of a field" },
    };
}
