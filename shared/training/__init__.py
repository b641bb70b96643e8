"""The recipe of the bundled model, from its base and data to its files. Not part of the wheel."""
