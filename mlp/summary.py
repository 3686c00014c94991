"""`python -m mlp.summary`: the layers of a network, their shapes and parameters."""

from mlp.tools.summary import main

if __name__ == "__main__":
    main()
