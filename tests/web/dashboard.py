"""Reads a dashboard with the types that Grafana publishes of its schema, and fails if they do not know a part of it.

Usage: dashboard.py FILE, with grafana-foundation-sdk on the PYTHONPATH.
"""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def unknown(given, read, place):
    """The parts of what was given that are not in what was read."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from unknown(value, read[key], f"{place}/{key}") if key in read else [f"{place}/{key}"]
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for index, pair in enumerate(zip(given, read)):
            yield from unknown(*pair, f"{place}/{index}")
    elif given != read:
        yield place


register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
parts = list(unknown(dashboard, read, ""))
if parts or not dashboard["panels"]:
    sys.exit(f"{sys.argv[1]}: not in Grafana's schema: {', '.join(parts) or 'no panels'}")
