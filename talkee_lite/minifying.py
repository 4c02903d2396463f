"""Scripts and style sheets made small, where the package for it is installed.

The minifier is a library in Go with a runtime of its own. It runs once, in a process that ends, so
that a server never carries it.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from .logs import log_event

_log = logging.getLogger("talkee_lite.files")

_SECONDS = 10.0
# The minifier moves a pattern to the front of the declarations that it joins, before those that
# the pattern's value needs (github.com/tdewolff/minify/issues/958). It joins only what begins with
# the same word; afterwards the shorter one is as good for all.
_PATTERN = re.compile(r"\b(?:const|let)(?=\s*[{[])")
_NAME = re.compile(r"\bconst(?=\s+[\w$])")
_TYPES = {"css": "text/css", "js": "application/javascript"}
# It is told where the server finds its packages, which an isolated Python would not know.
_CHILD = """
import json, sys
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
import minify
made = {name: minify.string(kind, text) for name, kind, text in asked["texts"]}
json.dump(made, sys.stdout)
"""


def minified(texts: Mapping[str, str], seconds: float = _SECONDS) -> dict[str, str]:
    """Scripts and style sheets by name, each as small as it gets, or all of them as they are.

    Not for the event loop: it waits for a process.
    """
    if not sys.executable or find_spec("minify") is None:
        log_event(_log, logging.DEBUG, "files_not_minified", reason="no package")
        return dict(texts)
    asked = {
        "path": sys.path,
        "texts": [
            (name, _TYPES[name.rpartition(".")[2]], _kept_in_order(name, text))
            for name, text in texts.items()
        ],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=seconds,
            check=True,
        )
        made = json.loads(done.stdout)
        if made.keys() != texts.keys() or not all(made.values()):
            raise ValueError("something is missing")
    except subprocess.TimeoutExpired:
        reason = "it took too long"
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        reason = said.rpartition("\n")[2][:200] or f"it ended with {error.returncode}"
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        return {name: _with_let(name, str(made[name])) for name in texts}
    log_event(_log, logging.INFO, "files_not_minified", reason=reason)
    return dict(texts)


def _kept_in_order(name: str, text: str) -> str:
    return _PATTERN.sub("const", _NAME.sub("let", text)) if name.endswith(".js") else text


def _with_let(name: str, text: str) -> str:
    return _PATTERN.sub("let", text) if name.endswith(".js") else text
