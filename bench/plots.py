"""The samples as drawings: SVG by hand, so that nothing has to be installed."""

import math
import statistics
from html import escape

from scenarios import FAMILIES, ORDER, PROTOCOLS

# Colours that are told apart in print and by those who see fewer of them.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b6fb6", "#e08a2e", "#3a9276", "#8a5aa8", "#8a8f98"
INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
COLOURS = [BLUE, ORANGE, GREEN, PURPLE, GREY, "#c2504b", "#4aa3c7", "#a08b2d"]
WIDTH, LEFT, RIGHT, TOP = 860, 190, 70, 64
ROW = 26


def draw(results, folder):
    """Writes what can be drawn of these results; gives the names of the files and what they show."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    found = []
    for name, told, text in [cost(results), ratios(results), protocols(results), latency(results), memory(results), *growth(results)]:
        if text:
            (folder / name).write_text(text)
            found.append((name, told))
    return found


def cost(results):
    peers = present(sample.peer for sample in results.samples if sample.scenario == "keepalive-64")
    rows = []
    for peer in peers:
        own = results.of("keepalive-64", peer)
        rows.append((peer, [median(sample.user for sample in own), median(sample.system for sample in own)]))
    told = "CPU per small kept request, 64 connections, one worker"
    return "cost.svg", told, bars(told, "microseconds per request", rows, [("user", BLUE), ("system", ORANGE)])


def ratios(results):
    names = ["keepalive-1", "keepalive-64", "keepalive-512", "new-connection", "body-10k", "body-1m", "upload-16k"]
    peers = [("nginx-64k", PURPLE), ("haproxy", ORANGE), ("envoy", GREY), ("waypost-native", GREEN), ("waypost-random", BLUE)]
    return to_nginx(results, "ratios.svg", "CPU per request, nginx is 1", names, peers)


def protocols(results):
    names = [scenario.name for scenario in PROTOCOLS]
    peers = [("nginx-64k", PURPLE), ("haproxy", ORANGE), ("envoy", GREY), ("waypost-random", BLUE)]
    return to_nginx(results, "protocols.svg", "CPU per request by TLS, HTTP/2, gRPC and WebSocket, nginx is 1", names, peers)


def to_nginx(results, file, told, names, peers):
    rows = []
    for name in names:
        found = [results.ratios(name, peer, "nginx") for peer, _ in peers]
        if any(found):
            rows.append((name, [median(values) if values else 0 for values in found]))
    return file, told, grouped(told, "ratio to nginx (less is better)", rows, peers, mark=1.0)


def latency(results):
    peers = present(found.peer for found in results.latencies)
    rows = []
    for peer in peers:
        own = [found for found in results.latencies if found.peer == peer]
        rows.append((peer, [median(getattr(found, name) for found in own) for name in ("p50", "p99", "p999")]))
    told = "Latency at half of the peak rate, open loop"
    series = [("p50", GREEN), ("p99", BLUE), ("p99.9", PURPLE)]
    return "latency.svg", told, grouped(told, "microseconds from when the request was due (logarithmic)", rows, series, log=True)


def memory(results):
    measured = [found for found in results.memory if found.scenario == "memory"]
    rows = []
    for peer in present(found.peer for found in measured):
        own = [found for found in measured if found.peer == peer]
        idle = median(found.idle for found in own) / 2**20
        rows.append((peer, [idle, max(median(found.full for found in own) / 2**20 - idle, 0)]))
    held = f"{measured[0].held:,}" if measured else ""
    told = f"Memory, two workers, with {held} idle connections"
    return "memory.svg", told, bars(told, "MiB", rows, [("idle", BLUE), (f"{held} connections", ORANGE)])


def growth(results):
    for family, (counted, values) in FAMILIES.items():
        least = f"{family}-{values[0]}"
        lines = []
        for peer in present(sample.peer for sample in results.samples if sample.scenario == least):
            found = [results.ratios(f"{family}-{value}", peer, peer, least) for value in values]
            points = [(value, median(ratio)) for value, ratio in zip(values, found, strict=True) if ratio]
            if len(points) > 1:
                lines.append((peer, points))
        told = f"How CPU per request grows with {counted}"
        yield f"{family}.svg", told, chart(told, f"{counted} (logarithmic)", f"ratio to {values[0]:,}", lines)


def bars(title, unit, rows, series):
    """Horizontal bars of stacked parts, the sum at their end."""
    if not rows:
        return ""
    most = max(sum(parts) for _, parts in rows) or 1
    steps, scale = axis(most)
    height = TOP + ROW * len(rows) + 52
    body = [*frame(title, height, series), *verticals(steps, scale, height, unit)]
    for at, (name, parts) in enumerate(rows):
        top, x = TOP + ROW * at, LEFT
        body.append(label(LEFT - 8, top + 16, name, "end"))
        for part, (_, colour) in zip(parts, series, strict=True):
            body.append(f'<rect x="{x:.1f}" y="{top + 4}" width="{part * scale:.1f}" height="{ROW - 8}" fill="{colour}"/>')
            x += part * scale
        body.append(label(x + 5, top + 16, short(sum(parts)), "start", FAINT))
    return svg(height, body)


def grouped(title, unit, rows, series, mark=None, log=False):
    """Horizontal bars side by side for each row."""
    if not rows:
        return ""
    thick = 11
    block = thick * len(series) + 12
    values = [value for _, row in rows for value in row if value > 0]
    height = TOP + block * len(rows) + 52
    if log:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        per = (WIDTH - LEFT - RIGHT) / max(high - low, 1)
        steps, place = [10.0**power for power in range(low, high + 1)], lambda value: (math.log10(value) - low) * per
    else:
        steps, scale = axis(max(values))
        place = lambda value: value * scale  # noqa: E731
    body = [*frame(title, height, series), *verticals(steps, place, height, unit)]
    for at, (name, row) in enumerate(rows):
        top = TOP + block * at
        body.append(label(LEFT - 8, top + block / 2 + 4, name, "end"))
        for line, (value, (_, colour)) in enumerate(zip(row, series, strict=True)):
            if value > 0:
                y, width = top + 6 + thick * line, max(place(value), 1)
                body.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{thick - 1}" fill="{colour}"/>')
                body.append(label(LEFT + width + 4, y + 9, short(value) if log else f"{value:.2f}", "start", FAINT, 10))
    if mark is not None:
        x = LEFT + place(mark)
        body.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 52}" stroke="{INK}" stroke-dasharray="4 3"/>')
    return svg(height, body)


def chart(title, across, up, lines):
    """Lines over a logarithmic axis."""
    if not lines:
        return ""
    height, bottom = 400, 340
    xs = sorted({x for _, points in lines for x, _ in points})
    ys = [y for _, points in lines for _, y in points]
    low, high = min(0.9, min(ys) * 0.98), max(1.1, max(ys) * 1.02)
    span = math.log10(xs[-1] / xs[0])
    right = WIDTH - 210
    place_x = lambda x: 80 + math.log10(x / xs[0]) / span * (right - 80)  # noqa: E731
    place_y = lambda y: bottom - (y - low) / (high - low) * (bottom - TOP)  # noqa: E731
    body = [label(20, 26, title, "start", INK, 16, True)]
    for x in xs:
        body.append(f'<line x1="{place_x(x):.1f}" y1="{TOP}" x2="{place_x(x):.1f}" y2="{bottom}" stroke="{GRID}"/>')
        body.append(label(place_x(x), bottom + 18, f"{x:,}", "middle", FAINT))
    step = nice((high - low) / 5)
    y = math.ceil(low / step) * step
    while y <= high + 1e-9:
        body.append(f'<line x1="80" y1="{place_y(y):.1f}" x2="{right}" y2="{place_y(y):.1f}" stroke="{GRID}"/>')
        body.append(label(72, place_y(y) + 4, f"{y:.2f}", "end", FAINT))
        y += step
    body.append(label((80 + right) / 2, bottom + 42, across, "middle"))
    middle = (TOP + bottom) / 2
    body.append(f'<g transform="rotate(-90 24 {middle})">{label(24, middle, up, "middle")}</g>')
    # Names beside the ends of their lines, pushed apart where those meet.
    floor = TOP - 12
    for at, (name, points) in sorted(enumerate(lines), key=lambda line: place_y(line[1][1][-1][1])):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        body += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        floor = max(place_y(points[-1][1]) + 4, floor + 16)
        body.append(label(right + 10, floor, f"{name} {points[-1][1]:.2f}", "start", colour))
    return svg(height, body)


def frame(title, height, series):
    body = [label(20, 26, title, "start", INK, 16, True)]
    x = LEFT
    for name, colour in series:
        body.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colour}"/>')
        body.append(label(x + 17, 48, name, "start", FAINT))
        x += 40 + 7.5 * len(name)
    return body


def verticals(steps, scale, height, unit):
    """Lines with numbers below them; `scale` is a factor or a function."""
    place = scale if callable(scale) else lambda value: value * scale
    body = []
    for step in steps:
        x = LEFT + place(step)
        body.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 52}" stroke="{GRID}"/>')
        body.append(label(x, height - 34, short(step), "middle", FAINT))
    body.append(label((LEFT + WIDTH - RIGHT) / 2, height - 12, unit, "middle"))
    return body


def axis(most):
    """Round numbers from 0 to beyond `most`, and pixels per unit."""
    step = nice(most / 5)
    steps = [step * at for at in range(math.ceil(most / step - 1e-9) + 1)]
    return steps, (WIDTH - LEFT - RIGHT) / steps[-1]


def nice(rough):
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def label(x, y, text, anchor, colour=INK, size=12, bold=False):
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight} fill="{colour}">{escape(text)}</text>'


def svg(height, body):
    style = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" {style}>']
    lines.append(f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>')
    return "\n".join([*lines, *body, "</svg>"]) + "\n"


def short(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def present(names):
    """Each once, in the usual order; turns alternate, so the first to be measured is not the first to be shown."""
    return sorted(set(names), key=ORDER.index)


def median(values):
    return statistics.median(values)

