"""`make run`: questions about Python and its documentation, before and after reranking. Not in the wheel."""
