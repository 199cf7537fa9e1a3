"""From the name of a class to the numbers that CLIP's text encoder reads."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.errors import WeightsRefused
from aleaseg.extractors.checkpoint import file_sha256
from aleaseg.extras import need

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SENTENCE", "RandomWords", "Vocabulary", "Words", "spoken"]

SENTENCE = "A computerized tomography of a {}."
"""What SegVol was trained with, word for word."""

_SAYS_NOTHING = {
    "annotation",
    "class",
    "foreground",
    "label",
    "mask",
    "object",
    "other",
    "region",
    "roi",
    "segment",
    "segmentation",
    "structure",
    "target",
    "unknown",
    "value",
}
_START, _END = "<|startoftext|>", "<|endoftext|>"


def spoken(name: str) -> str | None:
    """A class's name as one would say it; None where it says nothing, such as a number.

    >>> spoken("left_kidney"), spoken(" Liver  tumour "), spoken("vertebrae_L5")
    ('left kidney', 'Liver tumour', 'vertebrae L5')
    >>> [spoken(name) for name in ("1", "class_3", "label 2", "ROI-7", "foreground", "_")]
    [None, None, None, None, None, None]
    """
    said = " ".join(name.replace("_", " ").split())
    words = re.findall(r"[^\W\d_]+", said.lower())
    return said if any(word not in _SAYS_NOTHING for word in words) else None


class Words(ABC):
    """Sentences to token numbers; the last number ends a sentence."""

    @abstractmethod
    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token numbers and 1 where they are no padding, (N, L) int64 each."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the numbers."""


class Vocabulary(Words):
    """CLIP's own, a byte-pair code, read from its two files.

    Args:
        folder: where `vocab.json` and `merges.txt` are.
        size: tokens that the text encoder knows.

    Raises:
        WeightsRefused: a file is missing or is not what it should be.
        MissingExtra: transformers is not installed.
    """

    files = ("vocab.json", "merges.txt")

    def __init__(self, folder: str | Path, size: int) -> None:
        self._paths = [Path(folder) / name for name in self.files]
        missing = [path.name for path in self._paths if not path.is_file()]
        if missing:
            raise WeightsRefused(
                f"SegVol reads class names with CLIP's vocabulary, and {folder} lacks {' and '.join(missing)}; "
                "put the files of these names from https://huggingface.co/BAAI/SegVol there, next to the weights"
            )
        vocabulary, merges = self._read()
        if sorted(vocabulary.values()) != list(range(size)) or vocabulary.get(_END) != size - 1:
            raise WeightsRefused(
                f"{self._paths[0]} has {len(vocabulary)} tokens; expected {size}, numbered from 0, the last "
                f"of them {_END}; fetch it again from where the weights come from"
            )
        transformers = need("transformers")
        try:
            self._tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise WeightsRefused(
                f"{self._paths[1]} does not fit {self._paths[0].name} ({' '.join(str(error).split())[:200]}); "
                "fetch both again from where the weights come from"
            ) from error

    def _read(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        try:
            vocabulary = json.loads(self._paths[0].read_text(encoding="utf-8"))
            # The first line is a version; a merge is two pieces with a blank between them.
            lines = self._paths[1].read_text(encoding="utf-8").split("\n")[1:]
        except (ValueError, OSError) as error:
            raise WeightsRefused(
                f"{' or '.join(map(str, self._paths))} cannot be read ({error}); fetch both again"
            ) from error
        merges = [tuple(line.split(" ")) for line in lines if line]
        if not isinstance(vocabulary, dict) or any(len(pair) != 2 for pair in merges):
            raise WeightsRefused(
                f"{' or '.join(map(str, self._paths))} is not CLIP's; expected a table of tokens and a list of "
                "pairs; fetch both again from where the weights come from"
            )
        return vocabulary, [(first, second) for first, second in merges]

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Padded with the end token, which is never looked at."""
        found = self._tokenizer(list(sentences), padding=True, return_tensors="pt")
        return found["input_ids"], found["attention_mask"]

    def identity(self) -> dict[str, Any]:
        """The files' hashes."""
        return {path.name: file_sha256(path) for path in self._paths}


class RandomWords(Words):
    """A number drawn for every word, for random weights, to which no number means anything.

    Args:
        seed: of the weights.
        size: tokens that the text encoder knows.
    """

    def __init__(self, seed: int, size: int) -> None:
        self._seed = seed
        self._size = size

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The same word has the same number."""
        import torch

        start, end = self._size - 2, self._size - 1
        rows = [
            [start, *(self._drawn(word) for word in sentence.lower().split()), end]
            for sentence in sentences
        ]
        longest = max(map(len, rows))
        words = torch.tensor([row + [end] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return words, mask

    def _drawn(self, word: str) -> int:
        digest = hashlib.sha256(f"{self._seed} {word}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % (self._size - 2)

    def identity(self) -> dict[str, Any]:
        """The seed."""
        return {"words": f"random (seed {self._seed})"}
