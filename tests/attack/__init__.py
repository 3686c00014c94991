"""Attacks on what is read and written: hostile files, failing disks, killed processes. `make attack` runs them."""
