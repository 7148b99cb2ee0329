"""The manifest: everything this module adds, and the only file the registry loads."""

from trackside.module import Module, NavItem, Permission

MODULE = Module(
    name="releases",
    title="Releases",
    models="trackside_releases.models",
    migrations="trackside_releases.migrations",
    blueprints=("trackside_releases.web:blueprint",),
    commands={"releases": "trackside_releases.cli:releases"},
    permissions=(
        Permission("releases.view", "See releases", frozenset({"admin", "developer", "support", "viewer"})),
        Permission("releases.record", "Record a release", frozenset({"admin", "developer"})),
    ),
    nav=(NavItem("Releases", "releases.index", "mark-release", "releases.view", order=90),),
    marks="trackside_releases.contrib:marks",
)
