//! The functions that the host calls: each for a hook that the policy has, and one that it calls when it has read the answer.

const std = @import("std");
const waypost = @import("waypost.zig");
const abi = @import("abi.zig");

const Request = waypost.Request;
const Headers = waypost.Headers;
const Target = waypost.Target;

/// Exports the hooks that are public functions of `Policy`.
pub fn hooks(comptime Policy: type) void {
    const Hooks = exported(Policy);
    if (@hasDecl(Policy, "configure")) asked(&Hooks.configure, "configuration", "configure");
    if (@hasDecl(Policy, "backendsChanged")) plain(&Hooks.backendsChanged, "topology", "backends-changed");
    if (@hasDecl(Policy, "select")) asked(&Hooks.select, "selection", "select");
    if (@hasDecl(Policy, "editRequest")) asked(&Hooks.editRequest, "request-headers", "edit-request");
    if (@hasDecl(Policy, "editTarget")) asked(&Hooks.editTarget, "request-target", "edit-target");
    if (@hasDecl(Policy, "route")) asked(&Hooks.route, "routing", "route");
    if (@hasDecl(Policy, "decide")) asked(&Hooks.decide, "destination", "decide");
    if (@hasDecl(Policy, "editLocalResponse")) plain(&Hooks.editLocalResponse, "local-response", "edit-local-response");
    if (@hasDecl(Policy, "editResponse")) asked(&Hooks.editResponse, "response-headers", "edit-response");
    if (@hasDecl(Policy, "check")) asked(&Hooks.check, "range", "check");
    if (@hasDecl(Policy, "completed")) plain(&Hooks.completed, "completion", "completed");
}

fn plain(comptime function: anytype, comptime interface: []const u8, comptime name: []const u8) void {
    @export(function, .{ .name = "waypost:policy/" ++ interface ++ "@0.1.0#" ++ name });
}

/// With the function that the host calls once it has read the answer.
fn asked(comptime function: anytype, comptime interface: []const u8, comptime name: []const u8) void {
    plain(function, interface, name);
    @export(&answerRead, .{ .name = "cabi_post_waypost:policy/" ++ interface ++ "@0.1.0#" ++ name });
}

fn answerRead(_: *const anyopaque) callconv(.c) void {
    waypost.endOfCall();
}

/// A policy serves one call at a time, so that there is never more than one answer.
var answer: extern union {
    configured: Result(abi.Bytes),
    selected: Result(OptionU32),
    edited: Result(u8),
    checked: Result(OptionRanges),
} = undefined;

fn Result(comptime T: type) type {
    return extern struct { is_error: u8, payload: extern union { ok: T, response: Response } };
}

const OptionU32 = extern struct { is_some: u8, value: u32 };
const OptionU64 = extern struct { is_some: u8, value: u64 };
const Range = extern struct { first: OptionU64, last: OptionU64 };
const OptionRanges = extern struct { is_some: u8, value: abi.List(Range) };
const Field = extern struct { name: abi.Bytes, value: abi.Bytes };
const Response = extern struct { status: u16, headers: abi.List(Field), body: abi.Bytes };

fn exported(comptime Policy: type) type {
    return struct {
        fn configure(settings: [*]const u8, len: usize) callconv(.c) *const anyopaque {
            // Also an error that is text lies where a result's payload does.
            if (Policy.configure(settings[0..len])) |reason| {
                answer.configured = .{ .is_error = 1, .payload = .{ .ok = .of(reason) } };
            } else {
                answer.configured.is_error = 0;
            }
            return &answer;
        }

        fn backendsChanged(
            id: u32,
            name: [*]const u8,
            name_len: usize,
            generation: u64,
            backends: [*]const waypost.Backend,
            count: usize,
        ) callconv(.c) void {
            Policy.backendsChanged(.{ .id = id, .name = name[0..name_len] }, generation, backends[0..count]);
            waypost.endOfCall();
        }

        fn select(request: i32, pool: u32, attempt: u32) callconv(.c) *const anyopaque {
            // What was lent has to be given back before the call ends.
            defer abi.types.@"[resource-drop]request"(request);
            return chosen(Policy.select(Request{ .handle = request }, pool, attempt));
        }

        fn route(request: i32) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            return chosen(Policy.route(Request{ .handle = request }));
        }

        fn decide(request: i32, port: u32, has_user: i32, user: ?[*]const u8, len: usize) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            const name = if (has_user != 0) user.?[0..len] else null;
            return chosen(Policy.decide(Request{ .handle = request }, @intCast(port), name));
        }

        fn editRequest(request: i32, headers: i32) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            defer abi.types.@"[resource-drop]headers"(headers);
            return edited(Policy.editRequest(Request{ .handle = request }, Headers{ .handle = headers }));
        }

        fn editTarget(request: i32, target: i32) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            defer abi.types.@"[resource-drop]target"(target);
            return edited(Policy.editTarget(Request{ .handle = request }, Target{ .handle = target }));
        }

        fn editLocalResponse(request: i32, status: u32, source: u32, headers: i32) callconv(.c) void {
            defer waypost.endOfCall();
            defer abi.types.@"[resource-drop]request"(request);
            defer abi.types.@"[resource-drop]headers"(headers);
            const maker: u8 = @intCast(source);
            const code: u16 = @intCast(status);
            Policy.editLocalResponse(Request{ .handle = request }, code, @fromBackingInt(maker), Headers{ .handle = headers });
        }

        fn editResponse(request: i32, status: u32, backend: u32, headers: i32) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            defer abi.types.@"[resource-drop]headers"(headers);
            const code: u16 = @intCast(status);
            return edited(Policy.editResponse(Request{ .handle = request }, code, backend, Headers{ .handle = headers }));
        }

        fn completed(
            request: i32,
            pool: u32,
            has_backend: i32,
            backend: u32,
            has_status: i32,
            status: u32,
            has_failure: i32,
            failure: u32,
            attempts: u32,
            has_first_byte: i32,
            first_byte: u64,
            has_latency: i32,
            latency: u64,
            duration: u64,
            request_bytes: u64,
            response_bytes: u64,
        ) callconv(.c) void {
            defer waypost.endOfCall();
            defer abi.types.@"[resource-drop]request"(request);
            const why: u8 = @intCast(failure);
            Policy.completed(Request{ .handle = request }, .{
                .pool = pool,
                .backend = if (has_backend != 0) backend else null,
                .status = if (has_status != 0) @intCast(status) else null,
                .failure = if (has_failure != 0) @fromBackingInt(why) else null,
                .attempts = attempts,
                .first_byte_microseconds = if (has_first_byte != 0) first_byte else null,
                .latency_microseconds = if (has_latency != 0) latency else null,
                .duration_microseconds = duration,
                .request_bytes = request_bytes,
                .response_bytes = response_bytes,
            });
        }

        fn check(request: i32) callconv(.c) *const anyopaque {
            defer abi.types.@"[resource-drop]request"(request);
            answer.checked = switch (Policy.check(Request{ .handle = request })) {
                .ok => |given| .{ .is_error = 0, .payload = .{ .ok = ranges(given) } },
                .response => |given| .{ .is_error = 1, .payload = .{ .response = response(given) } },
            };
            return &answer;
        }
    };
}

fn chosen(given: waypost.Answer(?u32)) *const anyopaque {
    answer.selected = switch (given) {
        .ok => |choice| .{ .is_error = 0, .payload = .{
            .ok = .{ .is_some = @intFromBool(choice != null), .value = choice orelse 0 },
        } },
        .response => |refusal| .{ .is_error = 1, .payload = .{ .response = response(refusal) } },
    };
    return &answer;
}

fn edited(given: waypost.Answer(void)) *const anyopaque {
    answer.edited = switch (given) {
        .ok => .{ .is_error = 0, .payload = .{ .ok = 0 } },
        .response => |refusal| .{ .is_error = 1, .payload = .{ .response = response(refusal) } },
    };
    return &answer;
}

fn response(given: waypost.Response) Response {
    const fields = waypost.call.alloc(Field, given.headers.len) catch @panic("no memory");
    for (fields, given.headers) |*field, from| field.* = .{ .name = .of(from.name), .value = .of(from.value) };
    return .{
        .status = given.status,
        .headers = .of(fields),
        .body = .of(given.body),
    };
}

fn ranges(given: ?[]const waypost.ByteRange) OptionRanges {
    const wanted = given orelse return .{ .is_some = 0, .value = undefined };
    const made = waypost.call.alloc(Range, wanted.len) catch @panic("no memory");
    for (made, wanted) |*range, from| range.* = .{ .first = end(from.first), .last = end(from.last) };
    return .{ .is_some = 1, .value = .of(made) };
}

fn end(given: ?u64) OptionU64 {
    return .{ .is_some = @intFromBool(given != null), .value = given orelse 0 };
}
