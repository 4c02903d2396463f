"""Scripts and style sheets made small, where the package for it is installed.

The minifier is a library in Go with a runtime of its own. It runs once, in a process that ends, so
that a server never carries it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from .logs import log_event

_log = logging.getLogger("talkee_lite.files")

_SECONDS = 10.0
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
        "texts": [(name, _TYPES[name.rpartition(".")[2]], text) for name, text in texts.items()],
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
        return {name: str(made[name]) for name in texts}
    log_event(_log, logging.INFO, "files_not_minified", reason=reason)
    return dict(texts)
