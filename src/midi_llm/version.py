"""The version of this package, the same as in pyproject.toml (tested)."""

VERSION = "0.1.0"
