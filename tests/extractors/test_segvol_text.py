"""From class names to CLIP's token numbers, and what happens where there is no vocabulary."""

import json
import re
from itertools import pairwise

import pytest
import torch

from aleaseg.errors import WeightsRefused
from aleaseg.extractors.segvol_text import SENTENCE, RandomWords, Vocabulary, spoken

MERGES = [
    "l i",
    "li v",
    "e r</w>",
    "liv er</w>",
    "o f</w>",
    "o m",
    "t om",
    "k i",
    "ki d",
    "l e",
    "le f",
    "n e",
]


def alphabet():
    """Byte -> printable character, as GPT-2 and CLIP write bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


TOKENS = [
    *alphabet().values(),
    *(character + "</w>" for character in alphabet().values()),
    *(merge.replace(" ", "") for merge in MERGES),
    "<|startoftext|>",
    "<|endoftext|>",
]
SIZE = len(TOKENS)


FILE = "\n".join(["#version: 0.2", *MERGES, ""])


def write(folder, tokens=None, merges=FILE):
    numbers = {token: number for number, token in enumerate(TOKENS)} if tokens is None else tokens
    (folder / "vocab.json").write_text(
        numbers if isinstance(numbers, str) else json.dumps(numbers), encoding="utf-8"
    )
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return folder


def plain_tokens(sentence):
    """The words of a sentence, each cut into bytes, the pair that was merged first is merged first."""
    found = ["<|startoftext|>"]
    for word in re.findall(r"[^\W\d_]+|\d|[^\s\w]+", sentence.lower()):
        pieces = [alphabet()[byte] for byte in word.encode()]
        pieces[-1] += "</w>"
        while True:
            pairs = [f"{a} {b}" for a, b in pairwise(pieces)]
            known = [MERGES.index(pair) for pair in pairs if pair in MERGES]
            if not known:
                break
            at = pairs.index(MERGES[min(known)])
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        found += pieces
    return [TOKENS.index(token) for token in [*found, "<|endoftext|>"]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("left_kidney", "left kidney"),
        ("liver", "liver"),
        ("  Pancreas__tumour ", "Pancreas tumour"),
        ("vertebrae_L5", "vertebrae L5"),
        ("L1", "L1"),
        ("non-enhancing tumour", "non-enhancing tumour"),
        ("target lesion", "target lesion"),
        ("Leber", "Leber"),
        ("肝", "肝"),
        ("1", None),
        ("", None),
        ("_ ", None),
        ("3.5", None),
        ("class_3", None),
        ("Class3", None),
        ("label 2", None),
        ("LABEL-2", None),
        ("foreground", None),
        ("roi_1", None),
        ("mask", None),
    ],
)
def test_what_a_class_is_called(name, said):
    assert spoken(name) == said


def test_tokens_are_those_of_the_byte_pair_code(tmp_path):
    sentences = [SENTENCE.format(name) for name in ("liver", "left kidney", "vertebrae L5", "Ösophagus")]
    words, mask = Vocabulary(write(tmp_path), SIZE)(sentences)
    assert words.dtype == mask.dtype == torch.int64
    for row, there, sentence in zip(words, mask, sentences, strict=True):
        expected = plain_tokens(sentence)
        assert row[there.bool()].tolist() == expected
        assert there.tolist() == [1] * len(expected) + [0] * (len(row) - len(expected))
        assert set(row[~there.bool()].tolist()) <= {SIZE - 1}
    assert TOKENS.index("liver</w>") in words[0]


def test_the_vocabulary_is_known_by_its_files(tmp_path):
    first = Vocabulary(write(tmp_path), SIZE).identity()
    assert set(first) == {"vocab.json", "merges.txt"}
    again = "#version: 0.2\n" + "\n".join(MERGES[:-1]) + "\n"
    second = Vocabulary(write(tmp_path, merges=again), SIZE).identity()
    assert first["vocab.json"] == second["vocab.json"]
    assert first["merges.txt"] != second["merges.txt"]


@pytest.mark.parametrize("gone", [("vocab.json",), ("merges.txt",), ("vocab.json", "merges.txt")])
def test_a_missing_file_is_named_with_the_folder_it_belongs_in(tmp_path, gone):
    write(tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    with pytest.raises(WeightsRefused) as refused:
        Vocabulary(tmp_path, SIZE)
    assert f"{tmp_path} lacks {' and '.join(gone)};" in str(refused.value)
    assert "https://huggingface.co/BAAI/SegVol" in str(refused.value)


@pytest.mark.parametrize(
    ("tokens", "merges", "said"),
    [
        ("{", "#v\n", "cannot be read"),
        ("[]", "#v\n", "is not CLIP's"),
        (None, "#v\na b c\n", "is not CLIP's"),
        (None, "#v\nq q\n", "does not fit vocab.json"),
        ({"<|endoftext|>": 0}, "#v\n", f"has 1 tokens; expected {SIZE}"),
    ],
)
def test_files_that_are_not_clips_are_refused(tmp_path, tokens, merges, said):
    write(tmp_path, tokens, merges)
    with pytest.raises(WeightsRefused, match=re.escape(said)):
        Vocabulary(tmp_path, SIZE)


def test_random_words():
    """A word has one number, wherever it stands; another seed, another number."""
    draw = RandomWords(7, SIZE)
    words, mask = draw(["a left kidney", "kidney"])
    assert words.tolist()[1] == [SIZE - 2, words[0, 3], SIZE - 1, SIZE - 1, SIZE - 1]
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert words[:, 1:].max() == SIZE - 1
    assert words.min() >= 0
    assert draw(["a left kidney"])[0].tolist() == [words[0].tolist()]
    assert RandomWords(8, SIZE)(["kidney"])[0][0, 1] != words[0, 3]
    assert draw.identity() == {"words": "random (seed 7)"}
