"""What has no fast path of our own, computed by sentence-transformers' modules.

The library computes. Which of its classes a folder may name, what they are given, and which pairs share a
batch is decided here. `loading` needs sentence-transformers: it is imported when a folder asks for it.
"""
