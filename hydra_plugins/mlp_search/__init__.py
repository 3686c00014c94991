"""Hydra's plugins of this project: the sweeper that starts a search, and the launcher that runs its workers here."""
