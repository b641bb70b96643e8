"""A look at what the reranker does: tables, pages, plots, and the sentences that decide.

Importing this room loads neither matplotlib nor pandas; they are opened by what draws with them.
"""

from .data_frame import to_pandas
from .framework_results import ranking_of
from .highlighting import Highlight, Sentence, abest_sentences, ahighlight, best_sentences, highlight
from .plain_text import text_table
from .plots import plot_rank_flow, plot_scores, plot_sweep
from .sweep import Kept, Sweep, threshold_sweep
from .tables import page, table

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
    "ranking_of",
    "table",
    "text_table",
    "threshold_sweep",
    "to_pandas",
]
