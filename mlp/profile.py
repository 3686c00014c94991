"""`python -m mlp.profile`: see `mlp.tools.profile`."""

from mlp.tools.profile import run

if __name__ == "__main__":
    run()
