"""What a study's answer says and shows, for tests."""

from matplotlib.figure import Figure

from mlp.report.blocks import Analysis, Picture, Table


def text_of(found: Analysis) -> str:
    """Its texts, one under another."""
    return "\n".join(block for block in found.blocks if isinstance(block, str))


def tables_of(found: Analysis) -> list[Table]:
    return [block for block in found.blocks if isinstance(block, Table)]


def pictures_of(found: Analysis) -> list[Picture]:
    return [block for block in found.blocks if isinstance(block, Picture)]


def picture_of(found: Analysis, name: str) -> Picture:
    return next(one for one in pictures_of(found) if one.name == name)


def drawn(found: Analysis, name: str) -> Figure:
    """A figure of it, drawn."""
    return picture_of(found, name).draw()
