"""From files and a command line to objects: find, compose, resolve, build."""
