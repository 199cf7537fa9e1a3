"""Does DUO help? The paper's Table 6 on small real data, with and without faulty masks and images.

    python benchmarks/duo.py DATA OUT [--part NAME ...] [--device cuda] [--commit]

DATA holds Dataset004_Hippocampus and Dataset027_ACDC (see benchmarks/detection.md). Each part is a
grid of trainings of the same small network from three seeds; what is finished in OUT is not done
again, so that parts can be run one by one, killed, and gone on with. `--commit` writes
benchmarks/duo.md from what is finished.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from aleaseg.bench.downstream import DownstreamSettings, run_downstream, write_downstream
from aleaseg.run import Run
from page import replace_between

HERE = Path(__file__).parent
TABLE6 = "seg,en,rw,duo,rw_renorm"
GUARDED = "en_guarded,duo_guarded"
# Noise that begins at half a mask, as a convolution without bias has it.
BEGUN_LARGE = "en:initial=0.5,duo:initial=0.5"
GUARDED_LARGE = "en_guarded:initial=0.5,duo_guarded:initial=0.5"


def parts(data: Path, device: str) -> dict[str, DownstreamSettings]:
    """Name -> what is trained."""
    hippocampus, acdc = str(data / "Dataset004_Hippocampus"), str(data / "Dataset027_ACDC")

    def of(dataset: str, objectives: str, measures: str = "", **more) -> DownstreamSettings:
        return DownstreamSettings(dataset, objectives=objectives, measures=measures, device=device, **more)

    alphas = ",".join(f"rw:alpha={alpha}" for alpha in (0.1, 0.25, 1, 2))
    betas = ",".join(f"seg:beta={beta}" for beta in (0.25, 0.75))
    return {
        "hippocampus_40": of(
            hippocampus, f"{TABLE6},{GUARDED},{BEGUN_LARGE},{GUARDED_LARGE}", "doubt", share=0.4
        ),
        "hippocampus_0": of(
            hippocampus, f"{TABLE6},{BEGUN_LARGE},{GUARDED_LARGE}", "doubt", share=0.0, leave_out=0.1
        ),
        "acdc_0": of(
            acdc,
            f"seg,en,rw,duo,{BEGUN_LARGE}",
            share=0.0,
            leave_out=0.1,
            groups=r"(patient\d+)",
            randoms=1,
        ),
        # Denoised targets are soft: does a Dice that is smallest at them help?
        "hippocampus_40_semimetric": of(
            hippocampus, "seg,en,duo,en:semimetric=1,duo:semimetric=1", share=0.4, randoms=1
        ),
        # The rest: when a GPU is at hand.
        "hippocampus_20": of(hippocampus, f"{TABLE6},{GUARDED}", "doubt,auv", share=0.2),
        "hippocampus_40_sweeps": of(hippocampus, f"seg,{alphas},{betas}", share=0.4),
        "hippocampus_40_filter_duo": of(hippocampus, "duo,seg", "doubt,auv", share=0.4),
        "acdc_40": of(acdc, TABLE6, "doubt", share=0.4, groups=r"(patient\d+)"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", nargs="+", default=["hippocampus_40", "hippocampus_0", "acdc_0"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    known = parts(given.data.resolve(), given.device)
    for name in given.part:
        out = Run(given.out / name)
        asked = known[name]
        print(name, dataclasses.asdict(asked))
        command = f"python benchmarks/duo.py DATA OUT --part {name}"
        result = run_downstream(asked, out, lambda *told: print(*told, flush=True), command=command)
        write_downstream(result, out)
    if given.commit:
        pages = {name: given.out / name / "downstream.md" for name in known}
        tables = "\n".join(
            f"## `{name}`\n" + page.read_text().replace("\n#", "\n##").partition("\n")[2]
            for name, page in pages.items()
            if page.is_file()
        )
        replace_between(HERE / "duo.md", "tables", f"\n{tables}\n")


if __name__ == "__main__":
    main()
