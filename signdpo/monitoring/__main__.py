"""Prints the Grafana board: python -m signdpo.monitoring > signdpo.json"""

from importlib.resources import files

print((files("signdpo.monitoring") / "grafana.json").read_text(encoding="utf-8"), end="")
