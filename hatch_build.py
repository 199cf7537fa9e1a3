"""What hatchling asks for when it builds the package: the long description, for a page that is not the repository."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# An image or a link whose target is a file of the repository.
IMAGE = re.compile(r"^!\[[^\]]*\]\((?![a-z]+:)[^)]*\)\n\n", re.M)
LINK = re.compile(r"\[((?:[^\[\]]|\n)+)\]\((?![a-z]+:|#)([^)\s]+)\)")
WHERE = (
    "\nThe pages that are named here are in the source archive: `docs/index.md` is an overview of them.\n"
)


def for_an_index(text: str, repository: str | None) -> str:
    """README.md as a package index shows it: every link leads to the repository or, without an address, is text.

    >>> for_an_index("See [the bench](docs/bench.md#options).", "https://example.org/aleaseg")
    'See [the bench](https://example.org/aleaseg/blob/HEAD/docs/bench.md#options).'
    >>> for_an_index("See [the bench](docs/bench.md) and [arXiv](https://arxiv.org).", None).splitlines()[0]
    'See the bench and [arXiv](https://arxiv.org).'
    """
    text = IMAGE.sub("", text)
    if repository is None:
        return LINK.sub(r"\1", text) + WHERE
    return LINK.sub(rf"[\1]({repository.rstrip('/')}/blob/HEAD/\2)", text)


class Readme(MetadataHookInterface):
    """The readme of the package's metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme; the address is that of `[project.urls]`, where it has one."""
        urls: Mapping[str, str] = metadata.get("urls", {})
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_an_index(text, urls.get("Repository")),
        }
