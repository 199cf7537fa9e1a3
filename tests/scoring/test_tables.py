"""What cases.csv says in words."""

import numpy as np
import pytest

from aleaseg.report.facts import CaseFacts
from aleaseg.run import Record, Run
from aleaseg.scoring.tables import write_tables


def record(number, shape, blurred):
    """A case of which sharpness alone was measured."""
    rng = np.random.default_rng(number)
    rows = [
        {
            "class": "",
            "measure": f"img_{name}",
            "variant": "",
            "value": rng.normal() - 30 * away,
            "status": "ok",
        }
        for name, away in (("noise", 0), ("sharp_h", blurred), ("sharp_w", 0))
    ]
    return Record.from_dict(
        {
            "case": f"c{number:02}",
            "status": "ok",
            "shape": shape,
            "spacing_mm": [1.0] * len(shape),
            "class_maps": {},
            "present": {},
            "measures": rows,
        }
    )


@pytest.mark.parametrize(
    ("shape", "said"),
    [([8, 9], "blurred from top to bottom"), ([7, 8, 9], "blurred from top to bottom of the slice")],
)
def test_a_picture_has_no_slices_to_speak_of(tmp_path, shape, said):
    run = Run(tmp_path)
    run.update_manifest(dataset={"classes": {}})
    for number in range(30):
        run.write_case(record(number, shape, blurred=number == 7), {})
    write_tables(run, [])
    cases = run.cases.set_index("case")
    assert said in cases.loc["c07", "why"].split("; ")
    assert said in [one.sentence for one in CaseFacts(run).reasons("c07")]
