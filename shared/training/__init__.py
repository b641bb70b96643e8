"""The recipe of the bundled model: data, mining, training, export. Not part of the wheel."""
