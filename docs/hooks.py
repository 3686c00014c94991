"""What MkDocs cannot do by itself: pages made from conf/ and --help, and links to files outside of docs/."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated, and show links to files that the site does not have as their names."""
    markdown = markdown.replace("<!-- configuration -->", _configuration())
    for program in ("train", "inference"):
        markdown = markdown.replace(f"<!-- {program} --help -->", _help(program))
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        target = (folder / link[3]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return link[0]
        if not target.exists():
            raise ValueError(f"{page.file.src_uri}: {link[3]} is not in the repository")
        return link[2] if "`" in link[2] or "/" in link[2] else f"{link[2]} (`{target.relative_to(ROOT)}`)"

    return LINK.sub(named, markdown)


def _configuration() -> str:
    """All files of conf/ with their comments, group by group."""
    conf = ROOT / "conf"
    parts = [f"## config.yaml\n\n{_yaml(conf / 'config.yaml')}"]
    groups = sorted(
        {path.parent for path in conf.rglob("*.yaml") if path.parent != conf and "hydra" not in path.parts}
    )
    for group in groups:
        parts.append(f"## {group.relative_to(conf)}\n")
        parts += [f"### {path.stem}\n\n{_yaml(path)}" for path in sorted(group.glob("*.yaml")) if path.stem[0] != "_"]
    return "\n\n".join(parts)


def _yaml(path: Path) -> str:
    return f"```yaml\n{path.read_text()}```"


def _help(program: str) -> str:
    from mlp.cli.flags import parser

    return f"```text\n{parser(program).format_help()}```"
