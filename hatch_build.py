"""Build hook: fetch the front end's libraries into `static/vendor/`, which git ignores and the wheel contains.

Each package is pinned by version and sha512, only the files we serve are kept (with their licences), and a stamp of
this list makes later builds work offline. `NPM_CONFIG_REGISTRY` names a mirror, as npm itself understands it.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatch_npm_vendor.plugin import DEFAULT_REGISTRY
from hatch_npm_vendor.vendor import vendor_package
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


@dataclass(frozen=True)
class Package:
    """One npm package, and which of its files we keep."""

    name: str
    version: str
    sha512: str
    licence: str
    files: tuple[str, ...]


PACKAGES = (
    Package(
        "chart.js",
        "4.6.1",
        "hJyniucsFmq//EvXYvJ6c6mahPoI3kaxdjVH8awTaJ/fDNWeSqqqArixMJWkWNN6fcYvPU3HneSANFNYtRi61g==",
        "LICENSE.md",
        ("dist/chart.umd.min.js",),
    ),
    Package(
        "htmx.org",
        "2.0.10",
        "kdeJe7ZVwaS6QMz/ebBIVtZdpwen6L0OQ5GOhPV9MKBb196TCZeZu4yA7ZIQsaLKv7EpXz+So7KSXNuHXhj7Cw==",
        "LICENSE",
        ("dist/htmx.min.js",),
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "OupL48va4JNofb97w6NYeF9S7W/kHNKM0Er8Dem5nqi4jeOLrVJDoE8tZEpnMJmtkvNbB1EIPPwHcdkF6b1oUA==",
        "LICENSE",
        ("files/inter-latin-wght-normal.woff2", "files/inter-latin-ext-wght-normal.woff2"),
    ),
)


class VendorHook(BuildHookInterface[Any]):
    """Fetch what is missing before anything is packed, for editable installs too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill `static/vendor/`, unless its stamp says it holds exactly this."""
        vendor = Path(self.root) / "platform" / "trackside" / "static" / "vendor"
        stamp = vendor / ".stamp"
        wanted = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir(parents=True)
        for package in PACKAGES:
            _fetch(package, vendor)
        stamp.write_text(wanted)


def _fetch(package: Package, vendor: Path) -> None:
    """Put the wanted files of `package` flat into `vendor`; a wrong checksum or no network ends the build."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or os.environ.get("npm_config_registry") or DEFAULT_REGISTRY
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "package"
        try:
            vendor_package(unpacked, package.name, package.version, f"sha512-{package.sha512}", registry=registry)
        except (OSError, RuntimeError, KeyError) as error:
            raise SystemExit(
                f"{package.name} {package.version} could not be fetched from the npm registry ({error}). "
                "Check the network, or name a mirror in NPM_CONFIG_REGISTRY, and try again."
            ) from error
        for name in package.files:
            shutil.copyfile(unpacked / name, vendor / Path(name).name)
        licence = package.name.strip("@").replace("/", "-") + ".LICENSE.txt"
        shutil.copyfile(unpacked / package.licence, vendor / licence)
