"""The page about selecting says what is true: its snippets run."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "select.md"


def test_snippets_run(hundred, make_preprocessed, tmp_path, monkeypatch, capsys):
    hundred.path.rename(tmp_path / "RUN")
    make_preprocessed([f"case_{i:03d}" for i in range(100)])
    (tmp_path / "preprocessed").rename(tmp_path / "nnUNet_preprocessed")
    monkeypatch.chdir(tmp_path)
    names = {}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    for snippet in snippets:
        exec(snippet, names)
    printed = capsys.readouterr().out
    assert "95 cases are kept" in printed
    assert "5 of 100 cases dropped: doubt (high = bad), worst 5" in printed
    assert "case_099 0.99 noise=99" in printed
    assert "is removed: there was none before" in printed
    assert (tmp_path / "RUN" / "selection" / "splits_final.json").is_file()
