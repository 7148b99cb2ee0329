"""The pytest plugin: its options, and the fixtures once coverage (where asked for) is watching their imports."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `bin/test` asks for."""
    parser.addoption("--fetch-browser", action="store_true", help="Download a Chromium where none is installed.")


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load the fixtures; done at the plugin's own import, the lines that run then would count as never run."""
    early_config.pluginmanager.import_plugin("trackside.testing.fixtures")
