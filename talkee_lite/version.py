"""The version of this package, alone in a file so that builds can read it."""

VERSION = "0.1.0"
