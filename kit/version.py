"""What this program is called in everything it signs."""

TOOL = "offline-kit"
VERSION = "0.1.0"
"""The same as in pyproject.toml; a test holds them together."""
CORE_VERSION = "0.2.0"
"""Of the core that this package goes with (core/Cargo.toml); raised with every change of what the core decides."""
