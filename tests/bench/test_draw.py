"""A small draw from end to end: dealt, fitted, measured, and not done again."""

import dataclasses
import os

import numpy as np
import pytest

from aleaseg.bench import draw as drawing
from aleaseg.bench import swap_in as swapping
from aleaseg.bench.draw import fit_draw, mean_dice, open_draw
from aleaseg.bench.mixed import draws, suspicions
from aleaseg.bench.opening import begin_bench, open_clean
from aleaseg.bench.result import CASE_FIELDS, CONFOUNDS, SWAP_IN_COLUMNS
from aleaseg.bench.settings import BenchSettings, DetectSettings
from aleaseg.bench.swap_in import _chosen, _of_image, _record, swap_in
from aleaseg.corruption import FAULTS
from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.measures.label_agreement import dice
from aleaseg.predictions import crossfit
from aleaseg.predictions import fold as folds
from aleaseg.predictions.fitted import Crossfit
from aleaseg.predictions.networks import fold_network, fold_units
from aleaseg.run import Record, Run, read_json
from aleaseg.scoring.catalogue import MEASURES
from aleaseg.scoring.measure import Eye
from aleaseg.scoring.numbers import Numbers
from aleaseg.training.foldplan import FoldPlan

GROUPS = r"_(\d\d)$"  # every case a group of its own


def nothing(stage, done, total):
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_small):
    """A draw of 24 small cases by two folds of eight steps, in one process: settings, folder, draw."""
    folder = tmp_path_factory.mktemp("draw")
    write_small(folder / "data", 24, faults=False)
    settings = DetectSettings(str(folder / "data"), draws=1, share=0.25, folds=2, steps=8, groups=GROUPS)
    out = Run(folder / "bench")

    def run_folds(run, plan, todo, workers, seconds, progress):
        for number in todo:
            folds.main(str(run.path), number, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        patch.setattr(crossfit, "run_folds", run_folds)
        data = open_clean(settings)
        begin_bench(out, settings, data, "detection")
        (draw,) = draws(out, data, settings, nothing)
        yield settings, out, draw


def numbers_of(record, classes):
    return Numbers.of([record], classes)


def test_every_case_is_measured_with_its_fault(made):
    settings, _, draw = made
    assert len(draw.truth) == 6
    records = {record.case: record for record in draw.run.records()}
    assert set(records) == {case.id for case in draw.clean.cases}
    for case in draw.dataset.cases:
        record = records[case.id]
        assert record.status == "ok", record.error
        label = case.read_label().array
        for name, values in draw.dataset.classes.items():
            assert record.volume_mm3[name] == pytest.approx(2.0 * np.isin(label, values).sum())
    numbers = Numbers.of(draw.run.records(), list(draw.dataset.classes))
    assert set(numbers.models) == {"fold_0", "fold_1"}
    for name, measure in MEASURES.items():
        found = measure.suspicion(numbers, measure.fit(numbers))
        assert np.isfinite(found).sum() >= 18, name
    plan = FoldPlan.read(draw.run)
    assert plan.inside
    assert plan.steps == settings.steps


def test_a_finished_draw_is_not_done_again(made, monkeypatch):
    settings, _, draw = made
    stamps = {path: path.stat().st_mtime_ns for path in draw.run.path.rglob("*.safetensors")}
    stamps |= {path: path.stat().st_mtime_ns for path in (draw.run.path / "cases").iterdir()}
    monkeypatch.setattr(drawing, "deal", lambda *given, **more: pytest.fail("dealt again"))
    again = open_draw(draw.run, draw.clean, draw.number, share=settings.share)
    assert again.truth == draw.truth
    assert again.impossible == draw.impossible
    fit_draw(again, settings.crossfit(draw.number), nothing)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    for faulty, other in zip(again.dataset.cases, draw.dataset.cases, strict=True):
        np.testing.assert_array_equal(faulty.read_label().array, other.read_label().array)


def test_the_clean_dice_is_that_of_the_clean_mask(made):
    _, _, draw = made
    source = Crossfit(draw.run, draw.dataset)
    for case in draw.clean.cases:
        (prediction,) = source.read(case)
        label = case.read_label().array
        for name, values in draw.clean.classes.items():
            assert draw.clean_dice[case.id][name] == pytest.approx(
                dice(np.isin(label, values), prediction.mask(name)), nan_ok=True
            )
    assert np.isnan(mean_dice({"a": np.nan}))
    assert mean_dice({"a": np.nan, "b": 0.5, "c": 0.7}) == pytest.approx(0.6)


def test_the_table_has_a_row_for_every_case_and_a_column_for_every_measure(made):
    _, _, draw = made
    table = suspicions([draw])
    assert list(table.columns) == [*CASE_FIELDS, *CONFOUNDS, *MEASURES]
    assert len(table) == 24
    by_case = table.set_index("case")
    for case in draw.clean.cases:
        dealt = draw.truth.get(case.id)
        assert by_case.loc[case.id, "axis"] == (dealt.axis if dealt else "clean")
        assert by_case.loc[case.id, "group"] == case.group
    assert set(by_case["depth"]) == {12}
    assert set(by_case["spacing_mm"]) == {2.0}
    assert set(by_case["fov_mm3"]) == {12 * 16 * 16 * 2.0}
    numbers = Numbers.of(draw.run.records(), list(draw.dataset.classes))
    np.testing.assert_allclose(table["softmin"], -numbers.case("softmin"), equal_nan=True)


def test_a_case_without_a_new_fault_has_the_record_of_the_draw(made):
    _, _, draw = made
    plan = FoldPlan.read(draw.run)
    kept = {record.case: record for record in draw.run.records()}
    classes = list(draw.clean.classes)
    for case, fold in _chosen(draw, 2):
        network, units = fold_network(draw.run, plan, fold), fold_units(draw.run, fold)
        seen = _of_image(network, case, plan)
        record = _record(case, draw.clean, network, seen, units, plan, fold)
        own, other = numbers_of(kept[case.id], classes), numbers_of(record, classes)
        assert record.model == kept[case.id].model == f"fold_{fold}"
        training = {m.measure for m in MEASURES.values() if m.eye is Eye.TRAINING} - {"el2n"}
        expected = {key for key in own.columns if key[0] not in training} - {("el2n", "early", "")}
        assert set(other.columns) == expected, "all but what a training says"
        for key in expected:
            np.testing.assert_allclose(
                other.columns[key], own.columns[key], rtol=2e-3, atol=2e-4, err_msg=str(key)
            )
        assert set(other.vectors) == set(own.vectors)
        for key, vectors in own.vectors.items():
            np.testing.assert_allclose(other.vectors[key], vectors, rtol=1e-4, atol=1e-5)


def test_swap_in_finds_what_it_puts_in_and_a_mask_is_nothing_to_what_sees_the_image(made, monkeypatch):
    _, _, draw = made
    few = ("shift", "swap_classes", "noise")
    monkeypatch.setattr(swapping, "FAULTS", {name: FAULTS[name] for name in few})
    told = []
    table = swap_in(draw, cases=3, replicates=20, progress=lambda *given: told.append(given))
    assert told[-1] == ("swap-in", 3, 3)
    assert list(table.columns) == list(SWAP_IN_COLUMNS)
    assert set(table["fault"]) == set(few)
    assert not {name for name, m in MEASURES.items() if m.eye is Eye.TRAINING} & set(table["measure"])
    assert table["auroc"].between(0, 1).all()
    assert (table["low"] <= table["high"]).all()
    assert (table["n"] == 3).all()
    masks = table[table["axis"] == "mask"]
    assert masks["fault_dice"].notna().all()
    assert table[table["axis"] == "image"]["psnr_db"].notna().all()
    # What sees the image alone gives every fault of the mask the same number, whatever it is.
    spread = masks.groupby("measure")["auroc"].agg(lambda values: values.max() - values.min())
    for name, measure in MEASURES.items():
        if measure.sees == "image" and name in spread:
            assert spread[name] == 0, name
    assert (spread[[name for name in spread.index if MEASURES[name].sees != "image"]] > 0).any()
    classes = list(draw.clean.classes)
    for case, _ in _chosen(draw, 3):
        entries = read_json(draw.run.path / "swap_in" / swapping._file(draw.run, case.id).name)
        found = [
            numbers_of(Record.from_dict(entry["record"]), classes)
            for entry in entries
            if entry["dealt"]["axis"] == "mask"
        ]
        population = Numbers.of(draw.run.records(), classes)
        for measure in MEASURES.values():
            if measure.sees != "image" or measure.eye is Eye.TRAINING:
                continue
            frozen = measure.fit(population)
            values = [measure.value(numbers, frozen)[0] for numbers in found]
            np.testing.assert_allclose(values, values[0], rtol=1e-12, err_msg=measure.name)
    # A second call reads what was kept.
    monkeypatch.setattr(swapping, "spoil", lambda *given: pytest.fail("done again"))
    assert swap_in(draw, cases=3, replicates=20).equals(table)


def test_chosen_cases_are_clean_and_held_out(made):
    _, _, draw = made
    plan = FoldPlan.read(draw.run)
    chosen = _chosen(draw, 100)
    assert len(chosen) == 18
    for case, fold in chosen:
        assert case.id not in draw.truth
        assert case.id in plan.folds[fold]
    assert [case.id for case, _ in _chosen(draw, 4)] == [case.id for case, _ in chosen[:4]]


def test_settings_that_cannot_work_and_settings_that_differ(made, tmp_path):
    settings, out, draw = made
    for given, match in (
        ({"draws": 0}, "draws is 0"),
        ({"share": 0.0}, "share"),
        ({"share": 1.0}, "share"),
    ):
        with pytest.raises(UsageError, match=match):
            dataclasses.replace(settings, **given)
    more = dataclasses.replace(settings, draws=3, first=1)
    begin_bench(out, more, draw.clean, "detection")
    assert list(more.numbers) == [1, 2, 3]
    begin_bench(out, settings, draw.clean, "detection")
    with pytest.raises(SettingsDiffer, match="steps: 8 then, 9 now"):
        begin_bench(out, dataclasses.replace(settings, steps=9), draw.clean, "detection")
    with pytest.raises(UsageError, match="is a detection bench, not a downstream bench"):
        begin_bench(out, settings, draw.clean, "downstream")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        begin_bench(Run(tmp_path), settings, draw.clean, "detection")
    assert not (tmp_path / "manifest.json").exists()


def test_too_few_cases_are_refused(tmp_path, write_small):
    write_small(tmp_path / "data", 8)
    with pytest.raises(UsageError, match="has 8 usable cases with labels; a bench needs at least 20"):
        open_clean(BenchSettings(str(tmp_path / "data")))


def test_folds_may_learn_evidence_and_their_uncertainty_is_that_of_the_evidence(
    tmp_path, write_small, monkeypatch
):
    """With `--objective edl` the measure at the boundary sees K / A, and every axis of doubt is there."""

    def run_folds(run, plan, todo, workers, seconds, progress):
        for number in todo:
            folds.main(str(run.path), number, None)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(crossfit, "run_folds", run_folds)
    write_small(tmp_path / "data", 20, faults=False)
    settings = DetectSettings(
        str(tmp_path / "data"), draws=1, share=0.25, folds=2, steps=4, groups=GROUPS, objective="edl"
    )
    out, data = Run(tmp_path / "bench"), open_clean(settings)
    begin_bench(out, settings, data, "detection")
    (draw,) = draws(out, data, settings, nothing)
    plan = FoldPlan.read(draw.run)
    assert plan.objective == "edl"
    source = Crossfit(draw.run, draw.dataset)
    numbers = Numbers.of(draw.run.records(), list(draw.dataset.classes))
    measure = MEASURES["boundary_uncertainty"]
    found = measure.value(numbers, measure.fit(numbers))
    (prediction,) = source.read(draw.dataset.cases[0])
    assert prediction.kind == "evidence"
    u = dataclasses.replace(prediction, shape=prediction.maps.shape[1:]).uncertainty()
    # alpha of untrained logits is near 1 + ln 2: u far from both ends, whatever a softmax would say.
    assert 0.1 < u.min() <= u.max() < 1
    assert u.min() <= np.nanmin(found) <= np.nanmax(found) <= 1
    assert np.isfinite(MEASURES["doubt"].suspicion(numbers, MEASURES["doubt"].fit(numbers))).any()
    with pytest.raises(UsageError, match="unknown objective 'edle'"):
        DetectSettings(str(tmp_path / "data"), objective="edle")
