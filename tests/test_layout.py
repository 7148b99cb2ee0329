"""The shape of the house: what holds for every file in the repository."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 400
# In two parts each, so that this file does not hold what it forbids.
REGISTRIES = ("files." + "pythonhosted.org", "pypi." + "org", "registry." + "npmjs.org", "registry.yarnpkg" + ".com")


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("root", ["platform", "modules"])
def test_source_roots_hold_no_python_directly(root: str) -> None:
    """With one, `import platform` would find ours instead of the standard library's."""
    assert not list((ROOT / root).glob("*.py"))


def test_tests_of_the_kernel_do_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "tests" / "platform").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_test_files_have_unique_names() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_tracked_file_names_a_package_registry() -> None:
    found = [path for path in _tracked() if any(each.encode() in path.read_bytes() for each in REGISTRIES)]
    assert [str(path.relative_to(ROOT)) for path in found] == []


def test_no_library_is_committed() -> None:
    parts = {"vendor", "node_modules", ".venv"}
    assert [str(path) for path in _tracked() if parts & set(path.relative_to(ROOT).parts[:-1])] == []


def test_no_source_file_is_longer_than_one_can_read() -> None:
    def lines(path: Path) -> int:
        return len(path.read_text(encoding="utf-8").splitlines())

    sources = [path for path in _tracked() if path.suffix == ".py"]
    assert {str(path.relative_to(ROOT)): lines(path) for path in sources if lines(path) > LONGEST} == {}
