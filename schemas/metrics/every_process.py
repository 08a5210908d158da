"""Metrics that every process has."""

from typing import Final

from schemas.metrics.declaration import EVERY, Label, Metric

BUILD_INFO: Final = Metric(
    "weir_build_info",
    "gauge",
    "Always 1; its labels say what runs.",
    EVERY,
    labels=(Label("process", EVERY), Label("version"), Label("python")),
)

READY: Final = Metric(
    "weir_ready",
    "gauge",
    "Whether a part that /readyz asks about lets the process do its work: 1 or 0. The part "
    "`readyz` is 0, and the others no number, when the parts could not be asked in time.",
    EVERY,
    labels=(Label("part"),),
)


def _of_the_process(name: str, text: str, unit: str = "") -> Metric:
    kind: Final = "counter" if name.endswith("_total") else "gauge"
    return Metric(name, kind, text, EVERY, unit=unit, of_the_process=True)


# With the help texts of prometheus-client, whose collector they are.
OF_THE_PROCESS: Final = (
    _of_the_process(
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds."
    ),
    _of_the_process("process_resident_memory_bytes", "Resident memory size in bytes."),
    _of_the_process("process_virtual_memory_bytes", "Virtual memory size in bytes."),
    _of_the_process(
        "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
    ),
    _of_the_process("process_open_fds", "Number of open file descriptors."),
    _of_the_process("process_max_fds", "Maximum number of open file descriptors."),
)

METRICS: Final = (BUILD_INFO, READY, *OF_THE_PROCESS)
