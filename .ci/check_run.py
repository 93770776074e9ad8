"""Does a run of the main job keep the README's promises? check_run.py RUN smoke|whole"""

import json
import sys
from pathlib import Path

run, kind = Path(sys.argv[1]), sys.argv[2]
evaluation = run / "evaluation"
systems = {name: json.loads((evaluation / f"{name}.json").read_text()) for name in ("baseline", "control", "aligned")}
compared = json.loads((evaluation / "comparison.json").read_text())
assert "<svg" in (run / "report.html").read_text()
for split in ("dev", "test"):
    figures = ", ".join(f"{name} {scores[split]['bleu4']:.2f}" for name, scores in systems.items())
    print(f"{split} BLEU-4: {figures}; aligned - control: {compared[split]['aligned - control']['bleu4']}")
if kind == "whole":
    dev = systems["baseline"]["dev"]["bleu4"]
    assert 30 <= dev <= 60, f"dev BLEU-4 of the baseline is {dev:.2f}, expected a translator between 30 and 60"
    for score in ("bleu4", "chrf"):
        gain = compared["test"]["aligned - control"][score]
        assert gain["confidence_low"] > 0, f"the alignment did not beat its control on test: {score} {gain}"
else:
    for name, scores in systems.items():
        assert all(0 <= scores[split]["bleu4"] <= 60 for split in ("dev", "test")), f"scores of the {name}: {scores}"
