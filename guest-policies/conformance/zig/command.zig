//! The request's fields `x-do`, and the commands that any hook does.

const std = @import("std");
const waypost = @import("waypost");

pub const Command = struct {
    verb: []const u8,
    rest: []const u8,

    pub fn is(self: Command, verb: []const u8) bool {
        return std.mem.eql(u8, self.verb, verb);
    }

    /// The arguments; the last of them is all of the rest.
    pub fn arguments(self: Command, comptime count_: usize) [count_][]const u8 {
        var parts: [count_][]const u8 = undefined;
        var rest = self.rest;
        for (parts[0 .. count_ - 1]) |*part| part.*, rest = cut(rest) orelse @panic("an argument is missing");
        parts[count_ - 1] = rest;
        return parts;
    }
};

fn cut(text: []const u8) ?struct { []const u8, []const u8 } {
    const first, const rest = std.mem.cutScalar(u8, text, ' ') orelse return null;
    return .{ first, rest };
}

/// The commands for a hook, one after the other.
pub const Commands = struct {
    hook: []const u8,
    lines: []const Line,

    const Line = std.meta.Elem(@TypeOf(@as(waypost.Request, undefined).headerValues("")));

    pub fn of(request: waypost.Request, hook: []const u8) Commands {
        return .{ .hook = hook, .lines = request.headerValues("x-do") };
    }

    pub fn next(self: *Commands) ?Command {
        while (self.lines.len > 0) {
            const line = self.lines[0].slice();
            self.lines = self.lines[1..];
            const hook, const command = cut(line) orelse .{ line, "" };
            if (!std.mem.eql(u8, hook, self.hook)) continue;
            const verb, const rest = cut(command) orelse .{ command, "" };
            return .{ .verb = verb, .rest = rest };
        }
        return null;
    }
};

pub fn number(comptime T: type, digits: []const u8) T {
    return std.fmt.parseInt(T, digits, 10) catch @panic("an argument is not a number");
}

/// Text for the time of this call.
pub fn format(comptime template: []const u8, parts: anytype) []const u8 {
    return std.fmt.allocPrint(waypost.call, template, parts) catch @panic("no memory");
}

pub fn count(name: []const u8, amount: u64) void {
    switch (waypost.counters.define(name)) {
        .counter => |counter| waypost.counters.add(counter, amount),
        .reason => @panic("a counter is refused"),
    }
}

/// Does a command of any hook, or panics if it is none.
pub fn any(command: Command, hook: []const u8, refused: *?waypost.Response) void {
    if (command.is("trap")) {
        @panic("told to");
    } else if (command.is("loop")) {
        endless();
    } else if (command.is("exhaust")) {
        exhaust();
    } else if (command.is("refuse")) {
        refused.* = refusal(number(u16, command.rest), hook);
    } else if (command.is("count")) {
        const name, const amount = command.arguments(2);
        count(name, number(u64, amount));
    } else if (command.is("log")) {
        const level, const message = command.arguments(2);
        waypost.log.write(std.meta.stringToEnum(waypost.log.Level, level) orelse @panic("no such level"), message);
    } else @panic("an unknown command");
}

fn refusal(status: u16, hook: []const u8) waypost.Response {
    const fields = waypost.call.dupe(waypost.Field, &.{
        .{ .name = "x-refused", .value = hook },
        .{ .name = "set-cookie", .value = "a=1" },
        .{ .name = "set-cookie", .value = "b=2" },
        .{ .name = "x-bytes", .value = "\xff\x80" },
    }) catch @panic("no memory");
    return .{ .status = status, .headers = fields, .body = format("refused by {s}", .{hook}) };
}

fn endless() noreturn {
    var turns: u64 = 0;
    while (true) {
        turns +%= 1;
        std.mem.doNotOptimizeAway(turns);
    }
}

fn exhaust() noreturn {
    while (true) {
        const taken = std.heap.wasm_allocator.alloc(u8, 1 << 20) catch @panic("no memory");
        @memset(taken, 1);
        std.mem.doNotOptimizeAway(taken.ptr);
    }
}
