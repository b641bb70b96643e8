"""One module for each library: how it is loaded and called. Each imports its library alone."""
