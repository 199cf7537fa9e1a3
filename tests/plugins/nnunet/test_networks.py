"""Other networks inside nnU-Net, with and without DUO: found, learning, rebuilt for prediction, never made plain."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from aleaseg.errors import UsageError
from aleaseg.networks import swin_unetr
from aleaseg.networks.mamba import Mamba
from aleaseg.plugins.nnunet import networks
from aleaseg.plugins.nnunet.checkpoint import export_plain, read_checkpoint
from aleaseg.plugins.nnunet.options import DuoOptions
from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper  # isort: skip
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # isort: skip
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # isort: skip

NAMES = ["SwinUNETR", "SwinUNETRDUO", "UMambaBot", "UMambaBotDUO"]
LABELS = {"background": 0, "left": 1, "right": 2}
LAST = {"SwinUNETR": "network.out.conv.conv", "UMambaBot": "decoder.seg_layers.2"}


def kind(name):
    return name.removesuffix("DUO")


@pytest.fixture(autouse=True)
def small_swin(monkeypatch):
    """Swin-UNETR as small as it gets: what is built is told from its shape, not from its size."""
    monkeypatch.setitem(swin_unetr.SIZES, "paper", swin_unetr.SIZES["tiny"])


@pytest.fixture
def made(nnunet, monkeypatch, plans_of):
    """made("SwinUNETR", dimensions=3, patch=..., ALPHA=1): a trainer on the CPU."""

    def make(name, *, dimensions=3, patch=None, initialize=True, **options):
        for option, value in options.items():
            monkeypatch.setenv(f"ALEASEG_DUO_{option}", str(value))
        plans = {**plans_of(dimensions), "continue_training": False}
        # 24 x 16 x 40 is 32 x 32 x 64 once it is padded.
        patch = patch or [24, 16, 40][-dimensions:]
        plans["configurations"]["small"]["patch_size"] = patch
        about = {
            "channel_names": {"0": "MRI"},
            "labels": LABELS,
            "numTraining": 6,
            "file_ending": ".nii.gz",
        }
        torch.manual_seed(0)
        trainer = getattr(networks, f"nnUNetTrainer{name}")(plans, "small", 0, about, torch.device("cpu"))
        if initialize:
            trainer.initialize()
        return trainer

    return make


def batch_for(trainer, make_batch):
    if not hasattr(trainer, "cases"):
        trainer.cases = sorted(trainer.do_split()[0])
    return make_batch(trainer)


# -- found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_found_as_nnunet_searches_external_folders(name, found_by_nnunet):
    found = found_by_nnunet(f"nnUNetTrainer{name}")
    assert found.__name__ == f"nnUNetTrainer{name}"
    assert issubclass(found, nnUNetTrainer)


@pytest.mark.parametrize("name", NAMES)
def test_with_duo_only_where_the_name_says_so(name):
    assert issubclass(getattr(networks, f"nnUNetTrainer{name}"), nnUNetTrainerDUO) == name.endswith("DUO")


# -- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dimensions"), [*((name, 2) for name in NAMES), ("SwinUNETRDUO", 3), ("UMambaBotDUO", 3)]
)
def test_a_step_learns(name, dimensions, made, make_batch):
    trainer = made(name, dimensions=dimensions)
    before = {at: one.clone() for at, one in trainer.network.state_dict().items()}
    batch = batch_for(trainer, make_batch)
    supervised = kind(name) == "UMambaBot"
    assert isinstance(batch["target"], list) == supervised
    assert isinstance(trainer.loss, DeepSupervisionWrapper) == supervised
    trainer.on_train_epoch_start()
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(2)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    moved = [at for at, one in trainer.network.state_dict().items() if not torch.equal(one, before[at])]
    assert f"{LAST[kind(name)]}.weight" in moved
    if name.endswith("DUO"):
        assert trainer.denoising.layer == LAST[kind(name)]
        assert not trainer.means.take().keys() ^ {"noise", "scale", "weight"}
    validated = trainer.validation_step(batch)
    assert np.isfinite(validated["loss"])


def test_options_of_duo_count(made):
    trainer = made("UMambaBotDUO", ALPHA=2, DEEP_SUPERVISION=0)
    assert trainer.options.alpha == 2
    assert not trainer.enable_deep_supervision
    assert isinstance(trainer.network(torch.zeros(1, 1, 24, 16, 40)), torch.Tensor)


# -- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [2, 3])
def test_umamba_has_the_stages_of_the_plans(dimensions, made):
    network = made("UMambaBot", dimensions=dimensions).network
    planned = made(
        "UMambaBot", dimensions=dimensions, initialize=False
    ).configuration_manager.network_arch_init_kwargs
    assert [stage[0][0].conv1.out_channels for stage in network.encoder.stages] == planned[
        "features_per_stage"
    ]
    assert [list(stage[0][0].conv1.stride) for stage in network.encoder.stages] == planned["strides"]
    assert [list(stage[0][0].conv1.kernel_size) for stage in network.encoder.stages] == planned[
        "kernel_sizes"
    ]
    assert sum(isinstance(module, Mamba) for module in network.modules()) == 1


def test_umamba_takes_plans_of_a_residual_encoder(plans_of):
    plans = plans_of(3)
    given = plans["configurations"]["small"]["architecture"]["arch_kwargs"]
    del given["n_conv_per_stage"]
    given["n_blocks_per_stage"] = [1, 3, 4, 6]
    manager = PlansManager(plans)
    network = networks.nnUNetTrainerUMambaBot.build_network_architecture(
        manager, manager.get_configuration("small"), 1, 3, False
    )
    assert [len(stage[0]) for stage in network.encoder.stages] == [1, 3, 1, 1]


def test_swin_unetr_is_padded_and_says_so(made):
    trainer = made("SwinUNETR", patch=[24, 32, 40])
    said = Path(trainer.log_file).read_text()
    assert "patches of 24 x 32 x 40 are padded to 32 x 32 x 64 inside the network" in said
    assert trainer.network(torch.zeros(1, 1, 24, 32, 40)).shape == (1, 3, 24, 32, 40)
    # Two trainers of one second write into one log.
    later = Path(made("SwinUNETR", patch=[32, 64, 32]).log_file).read_text()
    assert "padded" not in later.removeprefix(said)


def test_swin_unetr_refuses_a_patch_that_vanishes(made):
    with pytest.raises(UsageError, match="a patch of 16 x 8 x 24 is one voxel at the bottom of swin_unetr"):
        made("SwinUNETR", patch=[16, 8, 24])


@pytest.mark.filterwarnings("ignore")  # of torch's compiler, about what it looks at
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SwinUNETR", "UMambaBot"])
def test_it_compiles(name, made):
    """As nnU-Net does on a GPU; without the compiler itself."""
    trainer = made(name, dimensions=2)
    image = torch.randn(2, 1, 16, 40)
    network = trainer.network.eval()
    compiled = torch.compile(network, backend="aot_eager")
    found, expected = compiled(image), network(image)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_prediction_rebuilds_the_network_and_nothing_makes_it_plain(name, made, make_batch, tmp_path):
    trainer = made(name, dimensions=2)
    trainer.inference_allowed_mirroring_axes = (0, 1)
    trainer.on_train_epoch_start()
    trainer.train_step(batch_for(trainer, make_batch))
    path = Path(trainer.output_folder) / "checkpoint_final.pth"
    trainer.save_checkpoint(str(path))
    saved = read_checkpoint(path)
    assert saved["trainer_name"] == f"nnUNetTrainer{name}"
    assert (DuoOptions.key in saved) == name.endswith("DUO")

    # As nnUNetPredictor does.
    manager = trainer.plans_manager
    network = type(trainer).build_network_architecture(
        manager, manager.get_configuration("small"), 1, 3, enable_deep_supervision=False
    )
    network.load_state_dict(saved["network_weights"])
    image = torch.randn(1, 1, 16, 40)
    trainer.set_deep_supervision_enabled(False)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image), trainer.network.eval()(image))

    again = made(name, dimensions=2)
    again.load_checkpoint(str(path))
    assert all(
        torch.equal(one, other)
        for one, other in zip(again.network.parameters(), trainer.network.parameters(), strict=True)
    )

    (path.parent.parent / "plans.json").write_text(json.dumps(manager.plans))
    (path.parent.parent / "dataset.json").write_text(json.dumps(trainer.dataset_json))
    for given in (path, path.parent.parent):
        with pytest.raises(UsageError) as caught:
            export_plain(given, tmp_path / "plain")
        assert str(caught.value) == (
            f"{path} was written by nnUNetTrainer{name}, whose network stock nnU-Net cannot build; expected one of the "
            "plans' own network (nnUNetTrainerDUO, nnUNetTrainerDUO_EN, nnUNetTrainerDUO_RW, nnUNetTrainerEDL, "
            "nnUNetTrainerSURE, nnUNetTrainerConfidence); predict with it as it "
            'is, where aleaseg is installed and nnUNet_extTrainer="$(aleaseg nnunet path)" is exported'
        )
        assert not os.path.lexists(tmp_path / "plain")
