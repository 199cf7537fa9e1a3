"""An option is written once: what holds for every class of settings, and for the verbs made from them."""

import inspect
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import pytest
import typer

import aleaseg
from aleaseg.auditing.settings import AuditOfFolder, AuditSettings
from aleaseg.bench.settings import DetectSettings, DownstreamSettings, RatersSettings
from aleaseg.cli import app
from aleaseg.errors import UsageError
from aleaseg.evaluation.settings import CompareSettings, EvaluationSettings
from aleaseg.reproduce.settings import ReproduceSettings
from aleaseg.run import Run
from aleaseg.settings import (
    Argument,
    DatasetSettings,
    Option,
    Settings,
    called_with,
    options,
    path_unless,
    table_or_regex,
    whole_path,
)
from aleaseg.training.settings import PredictSettings, TrainerSettings

VERBS = {
    "audit": AuditOfFolder,
    "score": AuditOfFolder,
    "check": DatasetSettings,
    "bench detect": DetectSettings,
    "bench raters": RatersSettings,
    "bench downstream": DownstreamSettings,
    "evaluate": EvaluationSettings,
    "compare": CompareSettings,
    "train": TrainerSettings,
    "predict": PredictSettings,
    "reproduce": ReproduceSettings,
}


def command(verb):
    found = typer.main.get_command(app)
    for word in verb.split():
        found = found.commands[word]
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_what_its_settings_hold(verb):
    typed = {parameter.name: parameter for parameter in command(verb).params}
    signature = inspect.signature(VERBS[verb])
    for name, _, option in options(VERBS[verb]):
        assert typed[name].help == option.help
        default = signature.parameters[name].default
        assert typed[name].required == (default is inspect.Parameter.empty)
        if not typed[name].required:
            assert (typed[name].default or None) == (default or None)
        assert (typed[name].param_type_name == "argument") == isinstance(option, Argument)


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_not_typed_is_what_python_leaves_out(verb):
    kind = VERBS[verb]
    required = {
        name: option
        for name, _, option in options(kind)
        if inspect.signature(kind).parameters[name].default is inspect.Parameter.empty
    }
    words = ["-o", "out"]
    for name, option in required.items():
        if name != "out":
            words += ["x"] if isinstance(option, Argument) else [f"--{name}", "x"]
    extra = {"compare": ["a", "b"], "reproduce": ["table1"]}.get(verb, [])
    given = command(verb).make_context(verb, [*extra, *words]).params
    left_out = kind(**{name: Path("out") if name == "out" else "x" for name in required})
    assert kind(**{name: given[name] for name, _, _ in options(kind)}) == left_out


@pytest.mark.parametrize(
    "kind", dict.fromkeys([*VERBS.values(), AuditSettings]), ids=lambda kind: kind.__name__
)
def test_every_field_is_an_option(kind):
    said = {name for name, _, _ in options(kind)}
    assert {field.name for field in fields(kind)} - said <= (
        {"classes"} if kind is RatersSettings else set()
    )
    assert all(option.help.endswith(".") for _, _, option in options(kind))


def test_the_python_function_takes_what_the_verb_takes():
    function = inspect.signature(aleaseg.audit)
    assert list(function.parameters) == list(inspect.signature(AuditOfFolder).parameters)
    for name, _, option in options(AuditOfFolder):
        assert f"{name}: {option.help}" in aleaseg.audit.__doc__
    with pytest.raises(TypeError, match="setps"):
        aleaseg.audit("data", "run", setps=3)


@dataclass(frozen=True)
class Colouring(Settings):
    image: Annotated[str | Path, Argument("What is coloured.", "FILE", form=whole_path)]
    _: KW_ONLY
    passes: Annotated[int, Option("How often.", least=1)] = 1
    ink: Annotated[str | None, Option("Which ink.", choices=("red", "blue"))] = None
    note: Annotated[str, Option("To yourself.", free=True)] = ""


def test_values_are_brought_into_form_and_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Colouring("a.png") == Colouring(tmp_path / "a.png")
    assert Colouring("a.png").asked() == {"image": str(tmp_path / "a.png"), "passes": 1, "ink": None}
    assert replace(Colouring("a.png"), passes=2).passes == 2
    with pytest.raises(UsageError, match="passes is 0; expected at least 1"):
        Colouring("a.png", passes=0)
    with pytest.raises(UsageError, match="unknown ink 'green'; expected one of: red, blue"):
        Colouring("a.png", ink="green")


def test_a_function_of_settings_is_called_with_their_fields():
    @called_with(Colouring)
    def colour(settings: Colouring) -> int:
        """Colour an image."""
        return settings.passes

    assert colour("a.png", passes=3) == 3
    assert colour.__doc__ == (
        "Colour an image.\n\nArgs:\n    image: What is coloured.\n    passes: How often.\n    ink: Which ink.\n"
        "    note: To yourself.\n"
    )


def test_forms(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert whole_path("") == ""
    assert whole_path(Path("x")) == str(tmp_path / "x")
    form = path_unless("random", "crossfit")
    assert [form(value) for value in ("random", "random:3", Path("crossfit"), "x")] == [
        "random",
        "random:3",
        "crossfit",
        str(tmp_path / "x"),
    ]
    assert table_or_regex(r"^(g\d)") == r"^(g\d)"
    assert table_or_regex("groups.CSV") == str(tmp_path / "groups.CSV")


def test_a_run_may_stand_where_a_path_is_asked_for(tmp_path):
    assert AuditSettings("x", reference=Run(tmp_path)).reference == str(tmp_path)


@pytest.mark.parametrize("given", ["-160,240", (-160, 240), [-160.0, 240.0]])
def test_a_window_is_two_numbers_however_it_is_given(given):
    assert AuditSettings("x", window=given).window == (-160.0, 240.0)


@pytest.mark.parametrize("given", ["1", "1,2,3", "a,b", ""])
def test_what_is_no_window_is_refused(given):
    with pytest.raises(UsageError, match=f"--window {given}: expected two numbers"):
        AuditSettings("x", window=given)


def test_python_and_the_command_line_ask_the_same(tmp_path, monkeypatch):
    """A folder that one has begun the other goes on with, from any current folder."""
    seen = []
    monkeypatch.setattr(
        "aleaseg.auditing.running.run_audit", lambda settings, run, **_: seen.append(settings)
    )
    monkeypatch.setattr("aleaseg.cli.audit.show_outcome", lambda outcome: None)
    monkeypatch.chdir(tmp_path)
    words = (
        "audit data -o run --groups g.csv --reference old --predictions oof --window -160,240 --channel 0"
    )
    with pytest.raises(AttributeError):  # there is no outcome to end with
        typer.main.get_command(app)(words.split(), standalone_mode=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = AuditSettings(
        "../data",
        groups="../g.csv",
        reference=Path("../old"),
        predictions="../oof",
        window=(-160, 240),
        channel=0,
    )
    assert seen[0].asked() == asked.asked()
