"""What is known of real data sets comes out, and nothing else."""

from aleaseg.checks import check, join_groups, same_image_groups
from aleaseg.readers import open_dataset


def linked(source, target):
    for path in source.rglob("*"):
        if path.is_file():
            link = target / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)


def told(findings):
    return {(finding.case, finding.check) for finding in findings}


def test_misfits_in_hippocampus_are_exactly_three_errors(data, tmp_path):
    linked(data / "Dataset004_Hippocampus", tmp_path)
    linked(data / "hippocampus_misfits", tmp_path)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 200
    result = check(dataset)
    assert told(result.errors) == {
        ("hippocampus_010", "missing_image"),
        ("hippocampus_118", "missing_label"),
        ("hippocampus_281", "missing_image"),
    }
    assert result.notes == ()


def test_acdc(data):
    dataset = open_dataset(data / "Dataset027_ACDC", groups=r"(patient\d+)")
    result = check(dataset)
    assert result.errors == ()
    assert [[case[5:15] for case in group] for group in same_image_groups(result)] == [
        ["patient074", "patient076"]
    ] * 2
    joined = join_groups(dataset, result)
    assert len({case.group for case in joined.cases}) == 99
    # Seventy sizes are far out by a rule without sense for the population; one patient is twice as wide.
    assert told(result.notes) - {
        (case, "same_image") for group in same_image_groups(result) for case in group
    } == {
        ("acdc_patient057_frame01", "size_far_out"),
        ("acdc_patient057_frame09", "size_far_out"),
    }


def test_busi(data):
    dataset = open_dataset(data / "busi_256")
    assert len(dataset) == 780
    assert dataset.classes == {"foreground": (1,)}
    result = check(dataset)
    assert result.errors == ()
    assert same_image_groups(result) == (("benign_433", "malignant_145"),)
    empty = {finding.case for finding in result.notes if finding.check == "empty_mask"}
    assert len(empty) == 133
    assert all(case.startswith("normal") for case in empty)
    assert {finding.check for finding in result.notes} == {"empty_mask", "same_image"}


def test_stacks_of_lesions(data):
    dataset = open_dataset(data / "ct_lesions")
    assert len(dataset) == 6
    assert check(dataset).findings == ()
    assert dataset.cases[0].read_label().array.max() == 1
