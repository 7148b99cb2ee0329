"""A Chromium for browser tests: the machine's own, or on Linux x86_64 one fetched from npm into the environment.

Playwright's own download is not used: it comes from hosts that a closed network refuses, while npm's registry is
needed for the front-end files anyway.
"""

import io
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
_MAC_APPS = ("Chromium.app/Contents/MacOS/Chromium", "Google Chrome.app/Contents/MacOS/Google Chrome")
_PACKAGE, _VERSION = "@sparticuz/chromium", "153.0.0"
_INTEGRITY = "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>
"""
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@dataclass(frozen=True)
class Chromium:
    """A browser's binary, and what its environment must hold besides ours."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def find() -> Chromium | None:
    """Return the machine's own browser, else the one fetched earlier, else None."""
    for name in _NAMES:
        if found := shutil.which(name):
            return Chromium(Path(found))
    for app in _MAC_APPS:
        for folder in (Path("/Applications"), Path.home() / "Applications"):
            if (folder / app).exists():
                return Chromium(folder / app)
    return _fetched() if (_folder() / "chromium").exists() else None


def why_none() -> str:
    """Return why no browser can be fetched here either, or "" where one can."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return ""
    return "no Chromium or Chrome found; install one to run browser tests"


def fetch() -> Chromium:
    """Download the browser (70 MB) into the environment's folder and return it; raises OSError or RuntimeError."""
    from hatch_npm_vendor.plugin import DEFAULT_REGISTRY
    from hatch_npm_vendor.vendor import vendor_package

    registry = os.environ.get("NPM_CONFIG_REGISTRY") or DEFAULT_REGISTRY
    folder = _folder()
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        package, unpacked = Path(temporary) / "package", Path(temporary) / "unpacked"
        vendor_package(package, _PACKAGE, _VERSION, _INTEGRITY, registry=registry)
        _unpack(package / "bin", unpacked)
        (unpacked / "fonts.conf").write_text(_FONTS.format(folder=folder), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.replace(folder)
    return _fetched()


def _folder() -> Path:
    return Path(sys.prefix) / "browser"


def _fetched() -> Chromium:
    folder = _folder()
    libraries = os.pathsep.join(filter(None, (str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH"))))
    return Chromium(folder / "chromium", {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(folder / "fonts.conf")})


def _unpack(packed: Path, target: Path) -> None:
    """Unpack the binary, its libraries and a font; a page without any font would escape every contrast check."""
    import brotli

    target.mkdir()
    (target / "chromium").write_bytes(brotli.decompress((packed / "chromium.br").read_bytes()))
    (target / "chromium").chmod(0o755)
    for name in ("al2023", "fonts", "swiftshader"):
        archive = io.BytesIO(brotli.decompress((packed / f"{name}.tar.br").read_bytes()))
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(target, filter="data")
