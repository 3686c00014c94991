"""`python -m mlp` is the program `mlp`."""

from mlp.cli.main import main

if __name__ == "__main__":
    main()
