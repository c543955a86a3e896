"""Which learning rate should the preset `neutral` have for DQN? The answer of the third search.

python results/neutral_search_n_step/summarise.py results/neutral_search_n_step-* results/neutral_confirm_n_step-*
    reads run folders, then writes scores.csv and README.md
python results/neutral_search_n_step/summarise.py
    writes README.md from scores.csv alone

The rule is declared in experiments/neutral_search_n_step.yaml; it is that of the first search, whose script does the
work.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from neutral_search.summarise import run_script, summarise

if __name__ == "__main__":
    home = Path(__file__).parent
    run_script(__doc__, functools.partial(summarise, home=home, name=home.name))
