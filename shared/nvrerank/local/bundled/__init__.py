"""The bundled model: its network, the form its weights are kept in, its card, and the files in `weights/`."""
