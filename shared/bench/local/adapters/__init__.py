"""One module for each contestant: how it is loaded and called. Each imports its library alone."""
