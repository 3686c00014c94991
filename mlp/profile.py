"""`python -m mlp.profile`: see `mlp.tools.profile`."""

from mlp.tools.profile import main

if __name__ == "__main__":
    main()
