"""What clients of the indexes say is read, and only what is accepted now is passed over."""

import json
from datetime import date
from pathlib import Path

import pytest

from deploy.audit.findings import (
    ACCEPTED,
    Finding,
    InvalidAccepted,
    open_findings,
    read_accepted,
    told_by_npm,
    told_by_pip_audit,
    yanked_by_pip,
)

TODAY = date(2026, 11, 27)
ENTRY = """
[[accepted]]
package = "idna"
id = "CVE-2026-1"
reason = "only names of our own are encoded"
until = 2026-12-31
"""


def test_pip_audit_tells_of_vulnerabilities_and_of_what_it_does_not_know() -> None:
    output = {
        "dependencies": [
            {"name": "idna", "version": "3.6", "vulns": [{"id": "CVE-2026-1", "fix_versions": []}]},
            {"name": "yarl", "version": "1.0", "vulns": []},
            {"name": "odd", "skip_reason": "not found"},
        ],
        "fixes": [],
    }
    told = told_by_pip_audit(json.dumps(output))
    assert told.findings == [Finding("idna", "CVE-2026-1", "3.6; no fix")]
    assert told.silent == {"odd": "not found"}
    with pytest.raises(ValueError, match="JSON"):
        told_by_pip_audit("")


def test_pip_warns_of_what_was_withdrawn() -> None:
    errors = (
        "WARNING: The candidate selected for download or install is a yanked version: 'attrs' "
        "candidate (version 21.1.0 at https://index.example/attrs.whl)\n"
        "Reason for being yanked: breaks imports\n"
    )
    assert yanked_by_pip(errors) == [Finding("attrs", "yanked", "21.1.0; breaks imports")]
    assert yanked_by_pip("") == []


def test_npm_tells_of_advisories_once_and_an_index_that_does_not_answer_is_no_answer() -> None:
    advisory = {"title": "reads anything", "url": "https://advisories.example/GHSA-1"}
    packages = {
        "a": {"name": "a", "severity": "high", "via": [advisory]},
        "b": {"name": "b", "severity": "high", "via": ["a"]},
    }
    told = told_by_npm(json.dumps({"vulnerabilities": packages}))
    assert told.findings == [Finding("a", "GHSA-1", "high; reads anything")]
    with pytest.raises(ValueError, match="vulnerabilities"):
        told_by_npm('{"message": "405 Method Not Allowed"}')


def test_what_is_accepted_is_passed_over_until_its_day(tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(ENTRY)
    found = [Finding("idna", "CVE-2026-1", "a"), Finding("yarl", "CVE-2026-1", "a")]
    assert open_findings(found, read_accepted(file, TODAY)) == found[1:]
    assert open_findings(found, read_accepted(file, date(2027, 1, 1))) == found
    file.write_text(ENTRY.replace("only names of our own are encoded", "no"))
    with pytest.raises(InvalidAccepted, match="reason"):
        read_accepted(file, TODAY)


def test_the_list_that_is_in_force_can_be_read() -> None:
    read_accepted(ACCEPTED, TODAY)
