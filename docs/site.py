"""What mkdocs does beside building docs/: the rest of the repository that pages link to, and a search without a server.

The pages are written for the repository, so that every link works there. A page outside docs/ (a benchmark, the
changelog) becomes a page of the site, and so does a source file that some page links to; links are bent accordingly.
"""

import json
import posixpath
import re
from pathlib import Path

import material
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)#\s]+)((?:#[^)\s]*)?\))")
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
# What stands after the language is for the tests; mkdocs would not see a block in it.
OPENED = re.compile(r"^(```\w+) .*$", re.M)
# The name that the offline plugin looks for before it asks for a copy on the network.
WORKER = "assets/javascripts/iframe-worker.js"


def outside() -> list[str]:
    """Pages that lie outside docs/, as paths in the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md")]
    )


def in_site(path: str) -> str:
    """Where a file of the repository lies among the pages of the site.

    >>> in_site("docs/audit.md"), in_site("benchmarks/duo.md"), in_site("src/aleaseg/order.py"), in_site("README.md")
    ('audit.md', 'benchmarks/duo.md', 'src/aleaseg/order.py.md', 'overview.md')
    """
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":  # mkdocs would take it for the index
        return "overview.md"
    return path if path.endswith(".md") else f"{path}.md"


def in_repository(page: str) -> str:
    """Where a page of the site lies in the repository."""
    found = [path for path in outside() if in_site(path) == page]
    return found[0] if found else f"docs/{page}"


def targets(path: str, text: str) -> set[str]:
    """The files of the repository that the page `path` links to."""
    found = {
        posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        for _, link, _ in LINK.findall(text)
    }
    return {target for target in found if (ROOT / target).is_file()}


def bent(path: str, text: str) -> str:
    """The text of the page `path` with its links as the site needs them."""

    def bend(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[2]))
        if not (ROOT / target).is_file():
            return match[0]  # mkdocs names it
        link = posixpath.relpath(in_site(target), posixpath.dirname(in_site(path)) or ".")
        return f"{match[1]}{link}{match[3]}"

    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(bend, part) for part in parts)


@event_priority(100)
def on_config(config):
    """Before the offline plugin looks."""
    config.extra.setdefault("polyfills", []).append(WORKER)
    return config


def on_files(files, config):
    """Adds the pages outside docs/, the sources that are linked to, and the worker of the search."""
    pages = {path: (ROOT / path).read_text("utf-8") for path in outside()}
    for path in pages:
        files.append(File.generated(config, in_site(path), abs_src_path=str(ROOT / path)))
    own = [file for file in files.documentation_pages() if not file.generated_by]
    pages |= {f"docs/{file.src_uri}": file.content_string for file in own}
    linked = set().union(*(targets(path, text) for path, text in pages.items()))
    for path in sorted(linked):
        if not path.startswith("docs/") and not path.endswith(".md"):
            kind = "python" if path.endswith(".py") else "text"
            source = (ROOT / path).read_text("utf-8")
            page = f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n```{kind}\n{source}\n```\n"
            files.append(
                File.generated(config, in_site(path), content=page, inclusion=InclusionLevel.NOT_IN_NAV)
            )
    files.append(File.generated(config, WORKER, content=worker()))
    return files


def worker() -> str:
    """A script that carries the search's program: from disk a browser starts no worker that is a file."""
    (program,) = (Path(material.__file__).parent / "templates/assets/javascripts/workers").glob(
        "search.*.min.js"
    )
    return (
        'if (location.protocol === "file:") {\n'
        f"  const program = {json.dumps(program.read_text('utf-8'))};\n"
        "  window.Worker = class extends Worker {\n"
        '    constructor() { super(URL.createObjectURL(new Blob([program], {type: "text/javascript"}))); }\n'
        "  };\n"
        "}\n"
    )


def on_page_markdown(markdown, page, config, files):
    """Bends the links, and keeps of what opens a block the language alone."""
    if page.file.src_uri == "CHANGELOG.md":  # it names everything, and explains nothing
        page.meta["search"] = {"boost": 0.1}
    return OPENED.sub(r"\1", bent(in_repository(page.file.src_uri), markdown))
