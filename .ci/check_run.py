"""Does a run of the embedded default keep the README's promises?"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
evaluation = run / "evaluation"
baseline, aligned, compared = (
    json.loads((evaluation / f"{name}.json").read_text()) for name in ("baseline", "aligned", "comparison")
)
dev = baseline["dev"]["bleu4"]
assert 15 <= dev <= 60, f"dev BLEU-4 of the baseline is {dev:.2f}, expected a translator between 15 and 60"
dev_gain, test_gain = (compared[split]["aligned - baseline"]["bleu4"] for split in ("dev", "test"))
assert dev_gain["delta"] >= -1, f"dev BLEU-4 fell by {-dev_gain['delta']:.2f} in the alignment"
# The policy is chosen on dev; test is told apart from a collapse, not from the noise of 400 sentences.
assert test_gain["confidence_high"] >= -1, f"test BLEU-4 fell: {test_gain}"
assert "<svg" in (run / "report.html").read_text()
for split in ("dev", "test"):
    print(f"{split} BLEU-4: baseline {baseline[split]['bleu4']:.2f}, aligned {aligned[split]['bleu4']:.2f}")
