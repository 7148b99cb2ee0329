"""An export of Unleash as a document that `apply` reads, with all that a person should know before applying it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from trackside.errors import InputError
from trackside_modules.flags import shape
from trackside_modules.flags.document import FORMAT
from trackside_modules.flags.unleash import documents
from trackside_modules.flags.unleash.convert import Conversion, Imported, Note, convert


@dataclass(slots=True)
class Import:
    """What becomes of an export."""

    document: dict[str, Any]
    """See `trackside_modules.flags.document`."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Feature -> key, where its name can be no key."""
    notes: list[Note] = field(default_factory=list)
    refused: list[Note] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Environments of the export that have no counterpart here."""

    def told(self) -> dict[str, Any]:
        """Return everything but the document, for programs."""
        return {
            "renamed": self.renamed,
            "notes": [{"feature": it.feature, "text": it.text} for it in self.notes],
            "refused": [{"feature": it.feature, "text": it.text} for it in self.refused],
            "left_out": self.left_out,
        }

    def lines(self) -> list[str]:
        """Return the same for people, what is lost first."""
        return [
            *(f"refused: {it.feature}: {it.text}" for it in self.refused),
            *(f"left out: environment {name}, which is not here: say --map {name}=OURS" for name in self.left_out),
            *(f"note: {it.feature}: {it.text}" for it in self.notes),
        ]


def read(content: bytes, *, slugs: Collection[str], places: Mapping[str, str], alone: str) -> Import:
    """Return what an export comes to.

    `slugs` are the environments here, `places` says which of them stands for one of the export (else the one of the
    same name), `alone` where a file of one environment belongs. Raises InputError for what is no export, and where no
    environment of it has a counterpart.
    """
    found = Import({"format": FORMAT, "flags": {}})
    here: dict[str, Conversion] = {}
    for name, exported in documents.read(content).items():
        slug = alone if name == documents.ONLY else places.get(name, name)
        if slug not in slugs and (name == documents.ONLY or name in places):
            raise InputError(f"There is no environment {slug!r} here; there are: {', '.join(slugs)}.")
        if slug in here:
            raise InputError(f"Two environments of the export would become {slug!r}: map each to one of its own.")
        if slug in slugs:
            here[slug] = convert(exported)
        else:
            found.left_out.append(name)
    if not here:
        names = ", ".join(found.left_out)
        raise InputError(f"None of the export's environments is here: {names}. Say which stands for which.")
    _merge(here, found)
    return found


def _merge(here: Mapping[str, Conversion], found: Import) -> None:
    for slug, conversion in here.items():
        found.renamed |= conversion.renamed
        for kept, told in ((found.notes, conversion.notes), (found.refused, conversion.refused)):
            kept += [Note(it.feature, it.text if len(here) == 1 else f"{it.text} ({slug})") for it in told]
    refused = {it.feature for it in found.refused}
    flags: dict[str, dict[str, Any]] = {}
    for slug, conversion in here.items():
        for key, it in conversion.flags.items():
            if it.feature in refused:
                continue
            why = _added(flags.setdefault(key, _begun(it)), slug, it)
            if why:
                found.refused.append(Note(it.feature, why))
                refused.add(it.feature)
    owners = {key: it.feature for conversion in here.values() for key, it in conversion.flags.items()}
    found.document["flags"] = {key: flag for key, flag in flags.items() if owners[key] not in refused}


def _begun(it: Imported) -> dict[str, Any]:
    return {
        "name": it.feature,
        "description": it.description,
        "type": it.document["type"],
        "kind": it.kind,
        "variants": {},
        "tags": ["unleash"],
        "environments": {},
    }


def _added(flag: dict[str, Any], slug: str, it: Imported) -> str | None:
    """Add what a flag is in one more environment; return why that cannot be, None where it can."""
    if flag["type"] != it.document["type"]:
        return f"its variants carry {flag['type']} in one environment and {it.document['type']} in another"
    for name, value in it.document["variants"].items():
        if flag["variants"].setdefault(name, value) != value:
            return f"its variant {name!r} carries different payloads in different environments"
    flag["environments"][slug] = {name: it.document[name] for name in shape.CONFIG}
    return None
