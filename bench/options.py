"""The flags of bench/run."""

import argparse
from pathlib import Path

from peers import peers_of_others
from scenarios import SCENARIOS, SETS
from waypost import waypost_peers

HERE = Path(__file__).resolve().parent
PEERS = [*peers_of_others(), *waypost_peers()]
# Rounds, seconds of each measurement, seconds of warm-up before it, minutes after which no more is begun.
QUICK = {"rounds": 3, "seconds": 1, "warm_up": 0.4, "budget": 32.0}
FULL = {"rounds": 5, "seconds": 4, "warm_up": 1.0, "budget": 360.0}


def arguments():
    scenarios = [scenario.name for scenario in SCENARIOS]
    peers = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures what proxies cost, side by side on this machine; see bench/README.md.",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="everything, within about half an hour (the default)")
    length.add_argument("--full", action="store_true", help="everything, for longer: some hours")
    parser.add_argument("--scenarios", default="all", help=f"comma-separated, or all; {', '.join(SETS)}, or of {', '.join(scenarios)}")
    parser.add_argument("--peers", default="all", help=f"comma-separated, or all; of {', '.join(peers)}")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of each measurement, a whole number")
    parser.add_argument("--warm-up", type=float, help="seconds before each measurement")
    parser.add_argument("--budget", type=float, help="minutes after which no measurement is begun")
    parser.add_argument("--output", default=str(HERE), help="the folder of RESULTS.md and plots/; empty for nowhere")
    parser.add_argument("--raw", help="a file for every sample, as JSON")
    options = parser.parse_args()
    for flag, value in (FULL if options.full else QUICK).items():
        if getattr(options, flag) is None:
            setattr(options, flag, value)
        if getattr(options, flag) <= 0:
            parser.error(f"--{flag.replace('_', '-')} must be more than 0")
    for name, members in SETS.items():
        whole = ",".join(scenario.name for scenario in members)
        options.scenarios = ",".join(whole if word == name else word for word in options.scenarios.split(","))
    options.scenarios = chosen(parser, "scenarios", options.scenarios, scenarios)
    options.peers = chosen(parser, "peers", options.peers, peers)
    if options.output and not Path(options.output).is_dir():
        parser.error("--output: there is no such folder")
    return options


def chosen(parser, flag, text, known):
    names = known if text == "all" else text.split(",")
    for name in names:
        if name not in known:
            parser.error(f"--{flag}: there is no {name!r}; there are {', '.join(known)}")
    return names
