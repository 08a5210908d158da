"""Grafana's dashboards: written down as rows of panels, kept as the JSON that Grafana loads."""
