"""What MONAI takes along: less, in processes of ours, and only while it is being imported."""

import subprocess
import sys

import pytest

PACKAGE = """
def there(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True

found = [there(name) for name in ("matplotlib", "transformers", "colorsys")]
"""


@pytest.mark.parametrize(("spared", "found"), [(True, [False, False, True]), (False, [True, True, True])])
def test_optional_packages_are_hidden_from_monai_alone(tmp_path, spared, found):
    for name, text in (("monai", PACKAGE), ("matplotlib", ""), ("transformers", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from aleaseg.extras import spare_monai\n"
        + (
            "spare_monai(); spare_monai(); assert str(sys.meta_path).count('_Unasked') == 1\n"
            if spared
            else ""
        )
        + "import monai; print(monai.found); import matplotlib, transformers; print(transformers.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, file = done.stdout.splitlines()
    assert said == str(found)
    assert file.startswith(str(tmp_path))


def test_what_of_monai_is_used_is_there_without_them():
    code = """
import sys
from aleaseg.extras import spare_monai
spare_monai()
import aleaseg.networks.small_unet, aleaseg.networks.swin_unetr
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.metrics import compute_surface_dice
from aleaseg.training.augment import augmentation
augmentation("strong", 3)
assert not {"matplotlib", "transformers"} & set(sys.modules)
import transformers
assert transformers.BertConfig
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
