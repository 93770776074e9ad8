"""Does a run of the embedded default keep the README's promises?"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
evaluation = run / "evaluation"
baseline, control, aligned, compared = (
    json.loads((evaluation / f"{name}.json").read_text()) for name in ("baseline", "control", "aligned", "comparison")
)
dev = baseline["dev"]["bleu4"]
assert 15 <= dev <= 60, f"dev BLEU-4 of the baseline is {dev:.2f}, expected a translator between 15 and 60"
dev_gain, test_gain = (compared[split]["aligned - control"]["bleu4"] for split in ("dev", "test"))
assert dev_gain["delta"] >= -1, f"dev BLEU-4 is {-dev_gain['delta']:.2f} below the control's"
assert test_gain["confidence_high"] >= 0, f"the alignment lost to its control on test: {test_gain}"
assert "<svg" in (run / "report.html").read_text()
for split in ("dev", "test"):
    figures = ", ".join(
        f"{name} {scores[split]['bleu4']:.2f}"
        for name, scores in (("baseline", baseline), ("control", control), ("aligned", aligned))
    )
    print(f"{split} BLEU-4: {figures}")
