"""Prints the table of metrics for docs/operations.md."""

import sys

from schemas.metrics.document import table

sys.stdout.write(table())
