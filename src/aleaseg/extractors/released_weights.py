"""Which released weights there are, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from aleaseg.errors import UsageError

__all__ = ["CATALOGUE", "UNKNOWN", "Entry", "entry_of"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """One file of released weights.

    Attributes:
        name: as on the command line.
        extractor: which reads it.
        repository: on the Hugging Face hub.
        file: its name there.
        licence: of the weights.
        note: what else one should know before using it.
        revision: the commit it was looked up at, 40 hexadecimal digits, or `unknown`.
        sha256: 64 hexadecimal digits, or `unknown`.
        bytes: its size; None: unknown. Shown, never checked.
        needs_acceptance: the licence is restricted, and the user has to say that it is accepted.
        gated: the hub gives it to those only who asked for access.
        beside: other files of the repository that the extractor reads from the same folder. The
            revision pins them.
    """

    name: str
    extractor: str
    repository: str
    file: str
    licence: str
    note: str = ""
    revision: str = UNKNOWN
    sha256: str = UNKNOWN
    bytes: int | None = None
    needs_acceptance: bool = False
    gated: bool = False
    beside: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """Where a person can read about it."""
        return f"https://huggingface.co/{self.repository}"

    @property
    def url(self) -> str:
        """Where a person can download it."""
        revision = "main" if self.revision == UNKNOWN else self.revision
        return f"{self.page}/resolve/{revision}/{self.file}"


# Read in public sources, none of it downloaded here:
# - MedSAM2's files: bowang-lab/MedSAM2, checkpoints/download_medsam2_models.py. Revision, hash and
#   size of the recommended one: the pinned table of Project-MONAI/MONAILabel
#   (packages/providers/src/monailabel/providers/sam.py); five more repositories give that hash. The
#   model card's clause: MONAI Label's THIRD_PARTY_NOTICES.md. Sizes of the others: one catalogue that
#   also lists the first, rightly.
# - MobileSAM: LICENSE of ChaoningZhang/MobileSAM; hash and size of its weights/mobile_sam.pt from many
#   repositories that pin it, several at that repository's commit f706ad9c4eb7f219c00d9050e46328518ffb65d2.
#   The commit of the hub's copy was read nowhere: the revision is unknown, the hash decides.
# - SegVol: README and LICENSE of BAAI-DCAI/SegVol; stored copies of the hub's pages of BAAI/SegVol for
#   the file's name, the revision and the rounded size.
# - Universal Model: README and LICENSE of ljwztc/CLIP-Driven-Universal-Model.
def _medsam2(name: str, file: str, size: int, revision: str = UNKNOWN, sha256: str = UNKNOWN) -> Entry:
    return Entry(
        name,
        extractor="medsam2",
        repository="wanglab/MedSAM2",
        file=file,
        licence="CC BY-SA 4.0",
        note="the model card adds: for research and education only",
        revision=revision,
        sha256=sha256,
        bytes=size,
    )


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _medsam2(
            "medsam2",
            "MedSAM2_latest.pt",
            156_040_129,
            revision="e4a6f35edd7e091619cbc0750f462f1574e23955",
            sha256="c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060",
        ),
        _medsam2("medsam2-2411", "MedSAM2_2411.pt", 156_039_179),
        _medsam2("medsam2-ctlesion", "MedSAM2_CTLesion.pt", 156_041_079),
        _medsam2("medsam2-mri-liver", "MedSAM2_MRI_LiverLesion.pt", 156_044_532),
        _medsam2("medsam2-us-heart", "MedSAM2_US_Heart.pt", 156_041_079),
        Entry(
            "mobilesam",
            extractor="mobilesam",
            repository="dhkim2810/MobileSAM",
            file="mobile_sam.pt",
            licence="Apache-2.0",
            note="fetched from a copy on the hub, and taken only with the hash of weights/mobile_sam.pt in "
            "https://github.com/ChaoningZhang/MobileSAM, whose licence it is",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            bytes=40_728_226,
        ),
        Entry(
            "segvol",
            extractor="segvol",
            repository="BAAI/SegVol",
            file="pytorch_model.bin",
            licence="none named",
            note="the page names no licence; the code is MIT, and the data it was trained on has terms of its own",
            revision="516701d5bef430604a13f5db7ce896149d075663",
            bytes=724_000_000,
            beside=("vocab.json", "merges.txt"),
        ),
        Entry(
            "universal",
            extractor="universal",
            repository="ljwztc/CLIP-Driven-Universal-Model",
            file="clip_driven_universal_swin_unetr.pth",
            licence="CC BY-NC-ND 4.0",
            note="not for commercial use, and nothing made from it may be passed on; the licence: "
            "https://github.com/ljwztc/CLIP-Driven-Universal-Model/blob/main/LICENSE",
            needs_acceptance=True,
        ),
    )
}


def entry_of(name: str) -> Entry:
    """The entry of that name.

    Raises:
        UsageError: with the valid names.
    """
    if name not in CATALOGUE:
        raise UsageError(f"unknown weights {name!r}; expected one of: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
