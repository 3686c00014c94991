"""What the figures of several pages share, each drawn in one place."""
