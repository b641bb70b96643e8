"""The recipe of the embedded model: data, mining, training, evaluation, export. Not part of the wheel."""
