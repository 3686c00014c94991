"""What every package may use: errors, files, streams, paths, how names are spelled. It knows nothing of networks."""
