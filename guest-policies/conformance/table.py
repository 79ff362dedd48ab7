"""`table.py RESULTS PAGE`: writes the table of PAGE, between its two marks, from what `./run` found."""

import json
import pathlib
import sys

NAMES = {"rust": "Rust", "c": "C", "zig": "Zig", "js": "JavaScript", "py": "Python"}
HEAD = ["language", "component", "load, cold", "load, cached", "memory of an instance", "selection", "99 of 100 within"]
HEAD += ["instructions", "header hook", "cases passed"]
BEGIN, END = "<!-- table: written by guest-policies/conformance/run -->", "<!-- end of table -->"
# What the figures are to reach, in nanoseconds of a selection and milliseconds of a load from the cache.
SELECTION = {"rust": 400, "c": 400, "zig": 400, "py": 10_000, "js": 30_000}
CACHED = 50


def main(results, page):
    results, page = pathlib.Path(results), pathlib.Path(page)
    text = page.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    former = {row.split("|")[1].strip(): row for row in text[begin:end].splitlines() if row.startswith("| ")}
    rows, notes = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1)], []
    for language, name in NAMES.items():
        cases = read(results / f"{language}.json")
        if cases is None:
            print(f"{name}: not tested, not in the table")
            continue
        bench = read(results / f"{language}.bench.json")
        figures = measured(language, bench) if bench else kept(former.get(name))
        rows.append([name, *figures, f"{cases['passed']} of {cases['cases']}"])
        notes += [f"- {name} does not pass \"{case}\": {cases['known'].get(case, 'NOT KNOWN')}." for case in cases["failed"]]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    missed = "\n".join(notes)
    page.write_text(f"{text[:begin]}\n{table}\n\n{missed}\n{text[end:]}")
    print(table)


def measured(language, bench):
    selection = bench["hooks"]["selection"]
    for what, is_now, limit in [
        ("selection (ns)", selection["ns"]["p50"], SELECTION[language]),
        ("load from the cache (ms)", bench["load_ms"]["cached"], CACHED),
    ]:
        if is_now > limit:
            print(f"{NAMES[language]}: {what} is {is_now}, and is to be {limit} at most")
    return [
        size(bench["size_bytes"]),
        f"{bench['load_ms']['cold']:,.0f} ms",
        f"{bench['load_ms']['cached']:,.1f} ms",
        size(bench["instance_bytes"]),
        time(selection["ns"]["p50"]),
        time(selection["ns"]["p99"]),
        f"{selection['instructions']['mean']:,.0f}",
        time(bench["hooks"]["request-headers"]["ns"]["p50"]),
    ]


def kept(row):
    """The figures of the former table, if there are any."""
    cells = [cell.strip() for cell in row.strip().strip("|").split("|")] if row else []
    return cells[1:-1] if len(cells) == len(HEAD) else ["-"] * (len(HEAD) - 2)


def size(count):
    return f"{count / 1024:,.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"


def time(nanoseconds):
    return f"{nanoseconds / 1000:,.2f} us" if nanoseconds < 10_000 else f"{nanoseconds / 1000:,.1f} us"


def read(path):
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
