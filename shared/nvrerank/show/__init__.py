"""A look at what the reranker does: tables, pages, plots, and the sentences that decide.

Importing this room loads neither matplotlib nor pandas; they are opened by what draws with them.
"""

from .frame import to_pandas
from .highlighting import Highlight, Sentence, abest_sentences, ahighlight, best_sentences, highlight
from .html_page import page
from .html_table import table
from .rank_flow import plot_rank_flow
from .score_plots import plot_scores, plot_sweep
from .sweep import Kept, Sweep, threshold_sweep

__all__ = [
    "Highlight",
    "Kept",
    "Sentence",
    "Sweep",
    "abest_sentences",
    "ahighlight",
    "best_sentences",
    "highlight",
    "page",
    "plot_rank_flow",
    "plot_scores",
    "plot_sweep",
    "table",
    "threshold_sweep",
    "to_pandas",
]
