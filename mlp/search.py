"""`python -m mlp.search`: see `mlp.searches`. (`mlp.search` itself is the function of `mlp.api`.)"""

from mlp.searches.__main__ import main

if __name__ == "__main__":
    main()
