"""Talkee Lite: live chat rooms and threaded comments for your own site.

An aiohttp program mounts it with `make_app`:

    parent.add_subapp("/talk/", talkee_lite.make_app(talkee_lite.load_config("talkee.toml")))
"""

from .app import make_app
from .config import Config, ConfigError, load_config
from .version import VERSION as __version__

__all__ = ["Config", "ConfigError", "__version__", "load_config", "make_app"]
