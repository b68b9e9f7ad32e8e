"""The options of `plantweave demo`. Out: a parser; a wrong value ends the program with status 2 and says why."""

from __future__ import annotations

import argparse


def parser() -> argparse.ArgumentParser:
    """The options of `plantweave demo`."""
    options = argparse.ArgumentParser(
        prog="plantweave demo", description="A broker, every service, a simulated bottling plant and a live view."
    )
    options.add_argument("--for", dest="for_s", type=_seconds, metavar="S", help="end after S seconds with a JSON line")
    options.add_argument("--port", type=_port, help="port of the broker (default: any free one)")
    options.add_argument("--json", action="store_true", help="no live view; end with a JSON line")
    options.add_argument("--lines", type=int, default=2, help="number of lines (default %(default)s)")
    options.add_argument("--rate", type=float, help="raw readings per second, about (default: 138 per line)")
    options.add_argument("--seed", type=int, default=1, help="what the plant's chance depends on")
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text}: give a number of seconds above 0")
    return seconds


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_536:
        raise argparse.ArgumentTypeError(f"{text}: give a port from 1 to 65535")
    return port
