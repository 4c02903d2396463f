"""Verbs of the command line that do nothing but ask for a control verb."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from .config import Config
from .control_client import SHORT_SECONDS, ask

_OWN = {"run", "config", "database", "host", "port"}


def asking(
    name: str, seconds: float = SHORT_SECONDS
) -> Callable[[argparse.Namespace, Config], int]:
    """A verb whose options are the parameters of the control verb `name`."""

    def run(options: argparse.Namespace, config: Config) -> int:
        given = {key: value for key, value in vars(options).items() if key not in _OWN}
        result = ask(config, name, given, seconds)
        if result is not None:
            print(json.dumps(result, ensure_ascii=False))
        return 0

    return run
