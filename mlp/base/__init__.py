"""What every room may use: errors, files, streams, paths. Of networks it knows how their names are spelled."""
