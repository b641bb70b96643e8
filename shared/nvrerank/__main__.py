"""`python -m nvrerank`: the same as `nvrerank`."""

from nvrerank.cli import app

app(prog_name="nvrerank")
