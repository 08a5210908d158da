"""The chart as Helm renders it."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.go_programs import HELM, required_go_program

CHART: Final = Path(__file__).parents[3] / "deploy" / "helm" / "weir"
VALUES: Final = Path(__file__).parent / "values"
CASES: Final = tuple(sorted(file.stem for file in VALUES.glob("*.yaml")))
# The oldest that the chart takes, and the newest that is known here.
KUBERNETES: Final = ("1.30", "1.37")

# Manifests have any shape; tests look into them.
Manifest = dict[str, Any]


class NotRendered(Exception):
    """Helm refused; the message is its own."""


@dataclass(frozen=True)
class Container:
    """A container with what surrounds it."""

    manifest: Manifest
    pod: Manifest
    spec: Manifest

    @property
    def component(self) -> str:
        return str(self.manifest["metadata"]["labels"]["app.kubernetes.io/component"])

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def environment(self) -> dict[str, str]:
        """What is set to a value that stands there."""
        return {each["name"]: each["value"] for each in self.spec["env"] if "value" in each}

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.spec.get("ports", ())}


def helm(*arguments: str) -> str:
    """What Helm says. Raises NotRendered."""
    done = subprocess.run(
        [str(required_go_program(HELM)), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise NotRendered(done.stderr + done.stdout)
    return done.stdout


@cache
def rendered(
    case: str, set_: Sequence[str] = (), kubernetes: str = KUBERNETES[-1]
) -> tuple[Manifest, ...]:
    """The manifests with a file of values, and `--set-json` of these. Raises NotRendered."""
    more = [word for each in set_ for word in ("--set-json", each)]
    command = ("template", "weir", str(CHART), "--namespace", "production")
    values = ("--values", str(VALUES / f"{case}.yaml"), "--kube-version", kubernetes)
    documents = yaml.safe_load_all(helm(*command, *values, *more))
    return tuple(each for each in documents if each is not None)


def of_kind(case: str, kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by component."""
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each
        for each in rendered(case)
        if each["kind"] == kind
    }


def containers(case: str) -> Iterator[Container]:
    """Of all workloads and jobs."""
    for manifest in rendered(case):
        if manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            pod = manifest["spec"]["template"]["spec"]
            assert "initContainers" not in pod
            for spec in pod["containers"]:
                yield Container(manifest, pod, spec)
