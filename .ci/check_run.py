"""Does a run of the embedded default keep the README's promises?"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
baseline, aligned = (json.loads((run / "evaluation" / f"{name}.json").read_text()) for name in ("baseline", "aligned"))
dev = baseline["dev"]["bleu4"]
assert 15 <= dev <= 60, f"dev BLEU-4 of the baseline is {dev:.2f}, expected a translator between 15 and 60"
for split in ("dev", "test"):
    delta = aligned[split]["bleu4"] - baseline[split]["bleu4"]
    assert delta >= -1, f"{split} BLEU-4 fell by {-delta:.2f} in the alignment"
assert "<svg" in (run / "report.html").read_text()
print(f"baseline dev BLEU-4 {dev:.2f}, aligned {aligned['dev']['bleu4']:.2f}")
